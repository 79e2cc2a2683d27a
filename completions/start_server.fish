# fish completion of start_server, start_server_monitor, einhyrningsins, einhyrningsinsctl and socketmaster.
#
# The first four are asked themselves, as go-flags has it: with GO_FLAGS_COMPLETION set
# they print what the last argument may become, a line each, with what it means behind a #.

function __start_server_has_program
    set -l words (commandline -opc)
    contains -- -- $words[2..]
end

function __start_server_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    # Perl's start_server, which may have the same name, would do what stands there.
    string match -q '*go-server-starter*' -- ($program --version 2>/dev/null); or return
    env GO_FLAGS_COMPLETION=verbose $program $words[2..] 2>/dev/null | string replace -r ' +# ' \t
end

for command in start_server start_server_monitor einhyrningsins einhyrningsinsctl
    complete -c $command -n 'not __start_server_has_program' -f -a '(__start_server_complete)'
end

complete -c socketmaster -n 'not __start_server_has_program' -f
complete -c socketmaster -n 'not __start_server_has_program' -o listen -x -a 'tcp:// tcp4:// tcp6:// unix:// fd://' -d 'Socket to open'
complete -c socketmaster -n 'not __start_server_has_program' -o command -r -F -d 'Program to start'
complete -c socketmaster -n 'not __start_server_has_program' -o start -x -d 'Milliseconds for a new server to boot'
complete -c socketmaster -n 'not __start_server_has_program' -o signal -x -a 'TERM QUIT HUP INT USR1 USR2 WINCH CONT' -d 'Signal for the others then'
complete -c socketmaster -n 'not __start_server_has_program' -o user -x -a '(__fish_complete_users)' -d 'Run the command as that user'
complete -c socketmaster -n 'not __start_server_has_program' -o syslog -d 'Log to syslog'
complete -c socketmaster -n 'not __start_server_has_program' -o version -d 'Print the version'
complete -c socketmaster -n 'not __start_server_has_program' -o help -d 'Print the help'
