# Completion of wharf for bash: what may come next is asked of wharf itself.
_wharf() {
    local line words current prefix answer candidate
    line="${COMP_LINE:0:COMP_POINT}"
    read -ra words <<<"$line"
    # After a blank a new word begins.
    [[ "$line" == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]} - 1]}"
    # Readline breaks words at colons and equals signs and wants what is behind the last one.
    prefix=""
    case "$current" in
        *[:=]*) prefix="${current%"${current##*[:=]}"}" ;;
    esac
    [[ "$COMP_WORDBREAKS" == *:* ]] || prefix=""
    COMPREPLY=()
    while IFS= read -r answer; do
        case "$answer" in
            :0) compopt -o default 2>/dev/null ;;
            :*) ;;
            *)
                candidate="${answer%%$'\t'*}"
                COMPREPLY+=("${candidate#"$prefix"}")
                ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _wharf wharf
