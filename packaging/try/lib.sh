# What the scripts of this folder share. It runs on a system that is thrown away, never on one that is to be kept.
units=/usr/lib/systemd/system

# What the units say helps where something is broken.
trap '[ $? = 0 ] || { tortie status; journalctl -b -u "tortie-*" --no-pager | tail -n 40; } || true' EXIT

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

# The rules, whichever instance of its chain each is in.
table() { nft --stateless list table inet tortie | sed 's/\.\.[0-9]*/../g' | sort; }
has_table() { nft list table inet tortie >/dev/null 2>&1; }
pid() { systemctl show -p MainPID --value tortie-agent; }
enforces() { becomes tortie status --wait --timeout 30s; }

# A neighbour, 192.0.2.2, and services of this system, 192.0.2.1.
neighbour() {
    ip netns add peer
    ip link add eth0 type veth peer name eth0 netns peer
    ip addr add 192.0.2.1/24 dev eth0
    ip link set eth0 up
    ip -n peer addr add 192.0.2.2/24 dev eth0
    ip -n peer addr add 192.0.2.3/24 dev eth0
    ip -n peer link set lo up
    ip -n peer link set eth0 up
}
serves() {
    for port in "$@"; do
        nc -lk 192.0.2.1 "$port" >/dev/null 2>&1 &
        becomes sh -c "ss -ltn | grep -q '192.0.2.1:$port '"
    done
}
# Whether a connection of the neighbour's comes about: to a port, from an address of its two.
reaches() { ip netns exec peer nc -z -w 2 ${2:+-s "$2"} 192.0.2.1 "$1"; }
pings() { ip netns exec peer ping -c 1 -W 2 -q 192.0.2.1 >/dev/null; }

# What nft tells from here on goes to a file, from which `taken_away` reads.
listen() {
    stdbuf -oL nft monitor >/try/monitor 2>&1 &
    monitor=$!
    promise "the monitor listens" becomes hears beginning
}
# A change of another table tells that the monitor listens.
hears() { nft add table inet "$1" && nft delete table inet "$1" && grep -q "table inet $1" /try/monitor; }
listened() {
    promise "the monitor has heard everything" becomes hears end
    kill "$monitor"
}
taken_away() { grep -E '^(delete|flush|destroy) .*inet tortie' /try/monitor; }
