#!/bin/sh
# What the Debian package promises: installed, upgraded, broken, removed, purged.
set -eu
. /try/lib.sh
old=/try/old.deb new=/try/new.deb

neighbour
serves 22 5432 8055
for port in 22 5432 8055; do
    promise "port $port is open before the installation" reaches "$port"
done

# Its members may ask the agent and read the store.
groupadd --system tortie
belongs_to_group() { test "$(stat -c %G /var/lib/tortie/store.db /run/tortie/agent.sock | sort -u)" = tortie; }

echo "--- install"
dpkg -i "$old"
for file in /usr/bin/tortie $units/tortie-agent.service $units/tortie-restore.service $units/tortie-controller.service \
    /etc/tortie/environment /usr/share/man/man1/tortie.1.gz /usr/share/man/man1/tortie-apply.1.gz \
    /usr/share/bash-completion/completions/tortie /usr/share/zsh/vendor-completions/_tortie \
    /usr/share/fish/vendor_completions.d/tortie.fish /usr/share/doc/tortie/copyright \
    /usr/share/doc/tortie/examples/1-endpoint.yaml; do
    promise "there is $file" test -s "$file"
done
promise "calicoctl is this program" says "$(cd / && TORTIE_STORE=embedded:/var/lib/tortie calicoctl get nodes 2>&1)" "NAME"
for file in /usr/share/bash-completion/completions/calicoctl /usr/share/zsh/vendor-completions/_calicoctl \
    /usr/share/fish/vendor_completions.d/calicoctl.fish; do
    promise "there is $file" grep -q calicoctl "$file"
done
promise "the agent is enabled" systemctl is-enabled -q tortie-agent
promise "the early-boot unit is enabled" systemctl is-enabled -q tortie-restore
promise "the controller is not enabled" not systemctl is-enabled -q tortie-controller
promise "the agent becomes active" becomes systemctl is-active -q tortie-agent
enforces
for port in 22 5432 8055; do promise "installing closes no port: $port" reaches "$port"; done
promise "installing drops nothing" not sh -c 'nft list ruleset | grep -w drop'

echo "--- the agent in its unit"
status=$(cat "/proc/$(pid)/status")
promise "it has CAP_CHOWN, CAP_NET_ADMIN and CAP_BPF and no other" says "$status" "CapEff:	0000008000001001"
promise "it gets no more" says "$status" "NoNewPrivs:	1"
promise "its system calls are filtered" says "$status" "Seccomp:	2"
promise "it cannot write to the system" not nsenter -t "$(pid)" -m touch /usr/bin/tortie /etc/tortie/environment
promise "it can write its state" nsenter -t "$(pid)" -m test -w /var/lib/tortie
promise "store and socket belong to the group" belongs_to_group
promise "systemd watches it" sh -c 'test "$(systemctl show -p WatchdogUSec --value tortie-agent)" = 1min\ 30s'

echo "--- what systemd says of the units"
exposure() { systemd-analyze security --no-pager "$1" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p'; }
promise "they are valid" systemd-analyze verify --man=no $units/tortie-agent.service $units/tortie-restore.service \
    $units/tortie-controller.service
for unit in agent restore controller; do
    promise "tortie-$unit is exposed by $(exposure tortie-$unit), 2.5 at most" \
        sh -c "systemd-analyze security --no-pager --threshold=25 tortie-$unit >/dev/null"
done

echo "--- examples"
for example in /usr/share/doc/tortie/examples/*.yaml; do
    tortie apply --strict --wait=60s -f "$example" || { tortie status; exit 1; }
    for port in 22 8055; do promise "$example leaves port $port open" reaches "$port"; done
done
promise "what an example denies is denied" not reaches 5432
promise "rules are there" sh -c 'nft list ruleset | grep -qw drop'

echo "--- upgrade"
echo "# a change of the administrator's" >>/etc/tortie/environment
systemctl disable -q tortie-restore
before=$(table) exactly=$(nft --stateless list table inet tortie) former=$(pid)
listen
dpkg -i "$new"
promise "the agent is active" becomes systemctl is-active -q tortie-agent
promise "it is another process" test "$(pid)" != "$former"
enforces
listened
promise "the rules are the same" test "$(table)" = "$before"
promise "they are not even written again" test "$(nft --stateless list table inet tortie)" = "$exactly"
promise "nothing was taken away meanwhile" not taken_away
promise "store and socket belong to the group" belongs_to_group
promise "the store is the same" sh -c 'tortie get gnp -o name | grep -q no-databases'
promise "the administrator's file is kept" grep -q "a change of the administrator's" /etc/tortie/environment
promise "what was disabled stays disabled" not systemctl is-enabled -q tortie-restore
systemctl enable -q tortie-restore
systemctl stop tortie-agent
dpkg -i "$new"
promise "what was stopped stays stopped" not systemctl is-active -q tortie-agent
promise "and its rules stay" test "$(table)" = "$before"

echo "--- early boot"
nft flush ruleset
promise "without rules the port is open" reaches 5432
systemctl restart tortie-restore
promise "the saved state is programmed" test "$(table)" = "$before"
systemctl start tortie-agent
enforces
promise "and the agent goes on from there" test "$(table)" = "$before"

echo "--- faults"
former=$(pid)
kill -KILL "$former"
promise "a killed agent comes again" becomes sh -c "p=\$(systemctl show -p MainPID --value tortie-agent); test \$p != 0 && test \$p != $former"
enforces
promise "with the same rules" test "$(table)" = "$before"
mkdir -p /run/systemd/system/tortie-agent.service.d
printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/tortie-agent.service.d/try.conf
systemctl daemon-reload
systemctl restart tortie-agent
former=$(pid)
kill -STOP "$former"
promise "an agent that hangs is started again" becomes sh -c "p=\$(systemctl show -p MainPID --value tortie-agent); test \$p != 0 && test \$p != $former"
promise "by the watchdog" sh -c 'journalctl -b -u tortie-agent | grep -qi "watchdog timeout"'
rm -r /run/systemd/system/tortie-agent.service.d
systemctl daemon-reload
systemctl restart tortie-agent
enforces
promise "with the same rules" test "$(table)" = "$before"

echo "--- controller"
echo 'TORTIE_CONTROLLER_FLAGS=--standalone' >>/etc/tortie/environment
printf '%s\n' 'apiVersion: projectcalico.org/v3' 'kind: KubeControllersConfiguration' 'metadata: {name: default}' \
    'spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}' | tortie apply -f -
systemctl start tortie-controller
promise "it makes host endpoints" becomes sh -c 'tortie get hep -o name | grep -q myhost-auto-hep'
promise "it has CAP_CHOWN and no other" grep -q '^CapEff:	0000000000000001$' \
    "/proc/$(systemctl show -p MainPID --value tortie-controller)/status"

echo "--- remove"
said=$(dpkg -r tortie 2>&1)
echo "$said"
promise "removal says that the rules are gone" says "$said" "removed table inet tortie: this host is open"
promise "and the saved state" says "$said" "removed the saved state in /var/lib/tortie/agent"
promise "and that the store stays" says "$said" "the store in /var/lib/tortie stays"
promise "calicoctl is gone, and what linked to it" test -z "$(find /usr/bin /usr/share /etc/alternatives -name '*calicoctl*')"
promise "the rules are gone" not has_table
promise "no process is left" not sh -c 'systemctl is-active -q tortie-agent || systemctl is-active -q tortie-controller'
promise "the port is open again" reaches 5432
promise "the store is there" test -s /var/lib/tortie/store.db

echo "--- purge"
said=$(dpkg -P tortie 2>&1)
echo "$said"
promise "purging says so" says "$said" "removed /var/lib/tortie, with the store and the saved state"
left=$(find /etc /var/lib /run /usr -xdev -path /var/lib/dpkg -prune -o -name '*tortie*' ! -path '*/systemd/propagate*' -print 2>/dev/null |
    grep -v -e /run/systemd/propagate -e /var/log || true)
promise "nothing is left: $left" test -z "$left"

echo "--- where Calico is configured"
mkdir -p /etc/calico
touch /etc/calico/felix.cfg
printf '#!/bin/sh\necho real\n' >/usr/bin/calicoctl
chmod 755 /usr/bin/calicoctl
said=$(dpkg -i "$old" 2>&1)
promise "it is said" says "$said" "neither enabled nor started"
promise "the agent is not enabled" not systemctl is-enabled -q tortie-agent
promise "the agent is not active" not systemctl is-active -q tortie-agent
promise "a calicoctl that is there stays" test "$(calicoctl)" = real
dpkg -i "$new" >/dev/null 2>&1
promise "also when it is upgraded" test "$(calicoctl)" = real
dpkg -P tortie
promise "and when it is removed" test "$(calicoctl)" = real
rm -r /etc/calico /usr/bin/calicoctl

echo "--- without systemd"
said=$(unshare --mount sh -euc "mount -t tmpfs tmpfs /run; dpkg -i $old; test -x /usr/bin/tortie; dpkg -P tortie" 2>&1)
promise "rules of the system around it are left alone" says "$said" "the rules in the kernel are left alone"
promise "nothing is left" test ! -e /usr/bin/tortie

echo "every promise is kept"
