if [ "$1" -eq 0 ]; then
    update-alternatives --remove calicoctl /usr/bin/tortie >/dev/null 2>&1 || :
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload >/dev/null 2>&1 || :
# The rules stay in the kernel meanwhile. What was stopped stays stopped.
if [ "$1" -ge 1 ]; then
    systemctl try-restart tortie-agent.service tortie-controller.service >/dev/null 2>&1 || :
fi
