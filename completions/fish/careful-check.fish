# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_careful_check_global_optspecs
    string join \n h/help V/version
end

function __fish_careful_check_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_careful_check_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_careful_check_using_subcommand
    set -l cmd (__fish_careful_check_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c careful-check -n "__fish_careful_check_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c careful-check -n "__fish_careful_check_needs_command" -s V -l version -d 'Print version'
complete -c careful-check -n "__fish_careful_check_needs_command" -f -a "seal" -d 'Read each file twice and store a record with it'
complete -c careful-check -n "__fish_careful_check_needs_command" -f -a "verify" -d 'Read each file once and compare it with its record'
complete -c careful-check -n "__fish_careful_check_needs_command" -f -a "receipt" -d 'Check the signatures of kept receipts, and that the files they name still are what they say'
complete -c careful-check -n "__fish_careful_check_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -l manifest -d 'Keep the records in a list FILE, as b3sum makes and checks it, and in FILE.origin beside it' -r -F
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -l jobs -d 'Files read at once' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -l rate -d 'The most that is read in a second, all together, as in 50MB' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -l status -d 'Keep FILE up to date with where the run stands, and with its exit code and last success in the end' -r -F
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -l renew -d 'Seal anew what was changed since it was sealed, or has a damaged record'
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -l json -d 'Print events as JSON Lines on standard output, one with the exit code always last'
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -s q -l quiet -d 'Print errors only'
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -s v -l verbose -d 'Log more to standard error: -v steps, -vv details, -vvv everything'
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -l log-json -d 'Log as JSON Lines'
complete -c careful-check -n "__fish_careful_check_using_subcommand seal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -l manifest -d 'Compare with this list instead, of careful-check seal or of b3sum; paths in it count from here' -r -F
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -l sample -d 'Only a part of the files: 5% is one of 20 parts, and each has its turn within 20 days' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -l jobs -d 'Files read at once' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -l rate -d 'The most that is read in a second, all together, as in 50MB' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -l status -d 'Keep FILE up to date with where the run stands, and with its exit code and last success in the end' -r -F
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -l json -d 'Print events as JSON Lines on standard output, one with the exit code always last'
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -s q -l quiet -d 'Print errors only'
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -s v -l verbose -d 'Log more to standard error: -v steps, -vv details, -vvv everything'
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -l log-json -d 'Log as JSON Lines'
complete -c careful-check -n "__fish_careful_check_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -l key -d 'The key of the receiver that must have signed' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -l root -d 'The directory that was received into; by default the one that the receipts name' -r -F
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -l jobs -d 'Files read at once' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -l rate -d 'The most that is read in a second, all together, as in 50MB' -r
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -l status -d 'Keep FILE up to date with where the run stands, and with its exit code and last success in the end' -r -F
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -l json -d 'Print events as JSON Lines on standard output, one with the exit code always last'
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -s q -l quiet -d 'Print errors only'
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -s v -l verbose -d 'Log more to standard error: -v steps, -vv details, -vvv everything'
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -l log-json -d 'Log as JSON Lines'
complete -c careful-check -n "__fish_careful_check_using_subcommand receipt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c careful-check -n "__fish_careful_check_using_subcommand help; and not __fish_seen_subcommand_from seal verify receipt help" -f -a "seal" -d 'Read each file twice and store a record with it'
complete -c careful-check -n "__fish_careful_check_using_subcommand help; and not __fish_seen_subcommand_from seal verify receipt help" -f -a "verify" -d 'Read each file once and compare it with its record'
complete -c careful-check -n "__fish_careful_check_using_subcommand help; and not __fish_seen_subcommand_from seal verify receipt help" -f -a "receipt" -d 'Check the signatures of kept receipts, and that the files they name still are what they say'
complete -c careful-check -n "__fish_careful_check_using_subcommand help; and not __fish_seen_subcommand_from seal verify receipt help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
