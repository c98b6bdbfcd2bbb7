#compdef wharf
# Completion of wharf for zsh: what may come next is asked of wharf itself.
_wharf() {
    local -a answers candidates
    local answer value files=0
    answers=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    for answer in "${answers[@]}"; do
        case "$answer" in
            :0) files=1 ;;
            :*) ;;
            *)
                value="${answer%%$'\t'*}"
                candidates+=("${value//:/\\:}:${answer#*$'\t'}")
                ;;
        esac
    done
    (( ${#candidates} )) && _describe -t values 'wharf' candidates
    (( files )) && _files
}
if [ "$funcstack[1]" = "_wharf" ]; then
    _wharf "$@"
else
    compdef _wharf wharf
fi
