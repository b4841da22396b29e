complete -c careful-recv -l listen -d 'Wait for one transfer, and print the ticket for it' -r
complete -c careful-recv -l accept -d 'What the sender may bring beside content, permissions and times' -r -f -a "links\t'Symbolic links that stay within the receiving directory'
outside-links\t'Symbolic links, wherever they lead'"
complete -c careful-recv -l expires -d 'How long the ticket is good for' -r
complete -c careful-recv -l port -d 'UDP port to use, or several of which the first free one is taken' -r
complete -c careful-recv -l allow -d 'The list of keys that may send, each with its directory' -r -F
complete -c careful-recv -l memory -d 'The most memory that all senders together may take up here' -r
complete -c careful-recv -l drain -d 'How long transfers may still run after SIGTERM' -r
complete -c careful-recv -l status -d 'Keep FILE up to date with where the run stands, and with its exit code and last success in the end' -r -F
complete -c careful-recv -l replace -d 'Let the sender replace files that exist and differ'
complete -c careful-recv -l allow-delete -d 'Let the sender delete what its directories hold here and not there'
complete -c careful-recv -l stdio -d 'Started by careful-send: one line each way over standard input and output'
complete -c careful-recv -l stay -d 'Stay, and serve many senders at once, each known by its key'
complete -c careful-recv -l json -d 'Print events as JSON Lines on standard output, one with the exit code always last'
complete -c careful-recv -s q -l quiet -d 'Print errors only'
complete -c careful-recv -s v -l verbose -d 'Log more to standard error: -v steps, -vv details, -vvv everything'
complete -c careful-recv -l log-json -d 'Log as JSON Lines'
complete -c careful-recv -s h -l help -d 'Print help (see more with \'--help\')'
complete -c careful-recv -s V -l version -d 'Print version'
