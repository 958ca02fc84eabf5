# What is enabled is for the presets of the distribution to say; nothing is started by itself.
if [ "$1" -eq 1 ] && command -v systemctl >/dev/null; then
    systemctl --no-reload preset tortie-agent.service tortie-restore.service >/dev/null 2>&1 || :
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload >/dev/null 2>&1 || :
# The name that scripts of Calico's users call. What is at that place already, and is no link of alternatives, stays there.
if [ -L /usr/bin/calicoctl ] || [ ! -e /usr/bin/calicoctl ]; then
    update-alternatives --install /usr/bin/calicoctl calicoctl /usr/bin/tortie 10 \
        --slave /usr/share/bash-completion/completions/calicoctl calicoctl.bash /usr/share/tortie/calicoctl/bash \
        --slave /usr/share/zsh/site-functions/_calicoctl calicoctl.zsh /usr/share/tortie/calicoctl/zsh \
        --slave /usr/share/fish/vendor_completions.d/calicoctl.fish calicoctl.fish /usr/share/tortie/calicoctl/fish >/dev/null 2>&1 || :
fi
