# Removal opens the host, and says so. An upgrade touches nothing.
[ "$1" -eq 0 ] || exit 0
if [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now tortie-controller.service tortie-agent.service tortie-restore.service >/dev/null 2>&1 || :
elif [ "$(stat -c %d:%i /)" != "$(stat -c %d:%i /proc/1/root/. 2>/dev/null)" ]; then
    # The rules of the kernel are those of the system outside.
    echo "tortie: this is a chroot: the rules in the kernel are left alone" >&2
    exit 0
fi
if ! tortie clean; then
    echo "tortie: its rules may still be in the kernel; nft delete table inet tortie removes them" >&2
fi
if [ -e /var/lib/tortie/store.db ]; then
    echo "tortie: the store in /var/lib/tortie stays; remove it by hand if nobody needs it"
fi
