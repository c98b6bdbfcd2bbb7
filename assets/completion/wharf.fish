# Completion of wharf for fish: what may come next is asked of wharf itself.
function __wharf_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for answer in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        switch $answer
            case ':0'
                __fish_complete_path "$current"
            case ':*'
            case '*'
                echo $answer
        end
    end
end
complete -c wharf -f -a '(__wharf_complete)'
