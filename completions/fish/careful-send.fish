complete -c careful-send -l origin -d 'How the source is made sure of' -r -f -a "auto\t'Compared with its record, where it has one, else read twice'
recorded\t'Compared with its record; a file without one is not transferred'
reread\t'Two reads that must agree, the second past the page cache; no record is looked at'
first-read\t'One read: wrong bytes from memory or disk are not noticed'"
complete -c careful-send -l stored -d 'How the stored copy is checked' -r -f -a "device\t'Read back from the device, past the page cache'
cache\t'Read back, but the page cache may answer'
none\t'Not read back'"
complete -c careful-send -l chunk-size -d 'Size of the chunks that large files travel in' -r
complete -c careful-send -l bwlimit -d 'Send no more than RATE of content a second' -r
complete -c careful-send -l require -d 'The least that every receipt must prove, else exit code 42' -r
complete -c careful-send -l retry-for -d 'How long a lost connection is tried again' -r
complete -c careful-send -l receipts -d 'Append the signed receipts to FILE, one JSON object a line' -r -F
complete -c careful-send -l port -d 'UDP port to use, or several of which the first free one is taken' -r
complete -c careful-send -l congestion -d 'What decides how fast is sent over a network' -r -f -a "careful\t'By bandwidth and length of the path as measured; packets lost by chance slow nothing down, and queues stay short'
cubic\t'As TCP does by default; every lost packet is taken for congestion'"
complete -c careful-send -s e -l ssh -d 'The command that is run as ssh, with its options' -r
complete -c careful-send -s J -d 'Reach the host by way of another one, as ssh -J' -r
complete -c careful-send -s i -d 'File with the key to log in with, as ssh -i' -r
complete -c careful-send -s o -d 'An option of ssh\'s configuration, as in -o Port=2222' -r
complete -c careful-send -l transport -d 'What carries the files to the other host' -r -f -a "auto\t'UDP in either direction; where it is silent for three seconds, the ssh connection'
quic\t'UDP only, else exit code 35'
ssh\t'The ssh connection only'"
complete -c careful-send -l remote-path -d 'Where the program lies on the other host' -r
complete -c careful-send -l exclude -d 'Leave out what PATTERN fits; a directory with all that is in it' -r
complete -c careful-send -l include -d 'Send what PATTERN fits, whatever a later --exclude says' -r
complete -c careful-send -l exclude-from -d 'Read patterns to leave out from FILE, one a line' -r
complete -c careful-send -l include-from -d 'Read patterns to send from FILE, one a line' -r
complete -c careful-send -l files-from -d 'Send only what FILE names, one path a line (- for standard input)' -r -F
complete -c careful-send -l min-size -d 'Leave out files smaller than SIZE' -r
complete -c careful-send -l max-size -d 'Leave out files larger than SIZE' -r
complete -c careful-send -l peer-key -d 'The key of the standing receiver, as `careful-recv key` prints it there' -r
complete -c careful-send -l max-delete -d 'With --delete: if more than N files and directories would go, delete nothing and exit with 25' -r
complete -c careful-send -l stdin-name -d 'With - as SRC: name of the file, where DEST does not give it one' -r
complete -c careful-send -l spool-dir -d 'With - as SRC: directory to keep standard input in until it is sent' -r -F
complete -c careful-send -l status -d 'Keep FILE up to date with where the run stands, and with its exit code and last success in the end' -r -F
complete -c careful-send -l no-record -d 'Store no record of its origin with each copy'
complete -c careful-send -l quick -d 'Believe size and time where the target exists, and do not check such files'
complete -c careful-send -l no-replace -d 'Never replace a file that exists and differs'
complete -c careful-send -s n -l dry-run -d 'Change nothing at either side, and tell what would be done'
complete -c careful-send -s a -l archive -d 'What is on by itself, and --links'
complete -c careful-send -s l -l links -d 'Carry symbolic links as links'
complete -c careful-send -l safe-links -d 'Leave out links that lead out of the receiving directory'
complete -c careful-send -s X -l xattrs -d 'Carry extended attributes of users (user.*)'
complete -c careful-send -s A -l acls -d 'Carry POSIX ACLs'
complete -c careful-send -l owner -d 'Carry owner and group'
complete -c careful-send -l suid -d 'Carry set-user-ID, set-group-ID and sticky bits, too'
complete -c careful-send -s H -l hard-links -d 'Keep several names of one file as names of one copy'
complete -c careful-send -s S -l sparse -d 'Leave holes in the copies where the sources have long runs of zeros'
complete -c careful-send -s 4 -d 'Let ssh use IPv4 only'
complete -c careful-send -s 6 -d 'Let ssh use IPv6 only'
complete -c careful-send -l stdio -d 'Started by careful-recv: one line each way over standard input and output, then it is told what to send'
complete -c careful-send -s r -d 'With --files-from: enter the directories it names (else for habit: directories are always copied whole)'
complete -c careful-send -s p -d 'For habit only: permissions and times are always kept'
complete -c careful-send -s 0 -l from0 -d 'In the list of --files-from every path ends with a zero byte, as find -print0 writes it'
complete -c careful-send -s x -l one-file-system -d 'Do not enter directories on other file systems'
complete -c careful-send -l delete -d 'Delete what the directories that were sent hold at the destination and not in the source'
complete -c careful-send -l delete-excluded -d 'With --delete: also delete what --exclude leaves out'
complete -c careful-send -l move -d 'Remove each source file once its receipt is stored'
complete -c careful-send -l allow-empty -d 'With - as SRC: send an empty standard input, too'
complete -c careful-send -l json -d 'Print events as JSON Lines on standard output, one with the exit code always last'
complete -c careful-send -s q -l quiet -d 'Print errors only'
complete -c careful-send -s v -l verbose -d 'Log more to standard error: -v steps, -vv details, -vvv everything'
complete -c careful-send -l log-json -d 'Log as JSON Lines'
complete -c careful-send -s h -l help -d 'Print help (see more with \'--help\')'
complete -c careful-send -s V -l version -d 'Print version'
