# What is enabled is for the presets of the distribution to say; nothing is started by itself.
if [ "$1" -eq 1 ] && command -v systemctl >/dev/null; then
    systemctl --no-reload preset tortie-agent.service tortie-restore.service >/dev/null 2>&1 || :
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload >/dev/null 2>&1 || :
