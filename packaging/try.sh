#!/bin/sh
# What the packages promise, tried on a system that runs systemd; `cargo xtask package --try` makes one and throws it away.
# It is called with the packages to install, to upgrade to, and the rpm. Never run it on a system that is to be kept.
set -eu
old=$1 new=$2 rpm=$3
units=/usr/lib/systemd/system
# The rules, whichever instance of its chain each is in.
table() { nft --stateless list table inet tortie | sed 's/\.\.[0-9]*/../g' | sort; }
has_table() { nft list table inet tortie >/dev/null 2>&1; }
pid() { systemctl show -p MainPID --value tortie-agent; }

# What the units say helps where something is broken.
trap '[ $? = 0 ] || journalctl -b -u "tortie-*" --no-pager | tail -n 40' EXIT

promise() {
    words=$1
    shift
    if "$@"; then echo "ok    $words"; else
        echo "BROKEN $words: $*"
        exit 1
    fi
}
not() { ! "$@"; }
says() { printf '%s\n' "$1" | grep -qF -- "$2"; }
# Asks again until it is so: what systemd does takes its time, and nothing tells when.
becomes() {
    for _ in $(seq 600); do if "$@" >/dev/null 2>&1; then return 0; fi; sleep 0.1; done
    "$@"
}
enforces() { becomes tortie status --wait --timeout 30s; }
reaches() { ip netns exec peer nc -z -w 2 192.0.2.1 "$1"; }

# A neighbour, and two services.
ip netns add peer
ip link add eth0 type veth peer name eth0 netns peer
ip addr add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip -n peer addr add 192.0.2.2/24 dev eth0
ip -n peer link set eth0 up
for port in 22 5432 8055; do
    nc -lk 192.0.2.1 "$port" >/dev/null 2>&1 &
    promise "port $port is open before the installation" becomes reaches "$port"
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
promise "the agent is enabled" systemctl is-enabled -q tortie-agent
promise "the early-boot unit is enabled" systemctl is-enabled -q tortie-restore
promise "the controller is not enabled" not systemctl is-enabled -q tortie-controller
promise "the agent becomes active" becomes systemctl is-active -q tortie-agent
enforces
for port in 22 5432 8055; do promise "installing closes no port: $port" reaches "$port"; done
promise "installing drops nothing" not sh -c 'nft list ruleset | grep -w drop'

echo "--- the agent in its unit"
status=$(cat "/proc/$(pid)/status")
promise "it has CAP_CHOWN and CAP_NET_ADMIN and no other" says "$status" "CapEff:	0000000000001001"
promise "it gets no more" says "$status" "NoNewPrivs:	1"
promise "its system calls are filtered" says "$status" "Seccomp:	2"
promise "it cannot write to the system" not nsenter -t "$(pid)" -m touch /usr/bin/tortie /etc/tortie/environment
promise "it can write its state" nsenter -t "$(pid)" -m test -w /var/lib/tortie
promise "store and socket belong to the group" belongs_to_group
promise "systemd watches it" sh -c 'test "$(systemctl show -p WatchdogUSec --value tortie-agent)" = 1min\ 30s'

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
stdbuf -oL nft monitor >/try/monitor 2>&1 &
monitor=$!
# A change of another table tells that the monitor listens.
hears() { nft add table inet "$1" && nft delete table inet "$1" && grep -q "table inet $1" /try/monitor; }
promise "the monitor listens" becomes hears beginning
dpkg -i "$new"
promise "the agent is active" becomes systemctl is-active -q tortie-agent
promise "it is another process" test "$(pid)" != "$former"
enforces
promise "the monitor has heard everything" becomes hears end
kill "$monitor"
promise "the rules are the same" test "$(table)" = "$before"
promise "they are not even written again" test "$(nft --stateless list table inet tortie)" = "$exactly"
promise "nothing was taken away meanwhile" not grep -E '^(delete|flush|destroy) .*inet tortie' /try/monitor
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
said=$(dpkg -i "$old" 2>&1)
promise "it is said" says "$said" "neither enabled nor started"
promise "the agent is not enabled" not systemctl is-enabled -q tortie-agent
promise "the agent is not active" not systemctl is-active -q tortie-agent
dpkg -P tortie
rm -r /etc/calico

echo "--- without systemd"
said=$(unshare --mount sh -euc "mount -t tmpfs tmpfs /run; dpkg -i $old; test -x /usr/bin/tortie; dpkg -P tortie" 2>&1)
promise "rules of the system around it are left alone" says "$said" "the rules in the kernel are left alone"
promise "nothing is left" test ! -e /usr/bin/tortie

echo "--- rpm"
rpm -i --nodeps "$rpm"
systemctl start tortie-agent
enforces
promise "the rpm's agent is active" systemctl is-active -q tortie-agent
tortie apply -f /usr/share/doc/tortie/examples --wait=60s
before=$(table)
rpm -U --nodeps --replacepkgs --force "$rpm"
promise "an upgrade keeps the rules" test "$(table)" = "$before"
enforces
said=$(rpm -e tortie 2>&1)
echo "$said"
promise "removal says that the rules are gone" says "$said" "removed table inet tortie: this host is open"
promise "the rules are gone" not has_table
promise "the program is gone" test ! -e /usr/bin/tortie
echo "every promise is kept"
