# The steps of docs/from-ufw-firewalld.md, with packets on the way. The scripts that read this set the old firewall up first.
guide=/try/from-ufw-firewalld.md

# Runs a command of the guide's, which must stand there word for word.
follow() {
    grep -qF -- "$1" "$guide" || { echo "BROKEN the guide does not say: $1"; exit 1; }
    echo "\$ $1"
    eval "$1"
}
# The block of the guide that begins with the first line of this text in it.
resources() { awk -v first="name: $1" '/^```yaml/ {text = ""; is_in = 1; next} /^```/ && is_in {if (text ~ first) printf "%s", text; is_in = 0} is_in {text = text $0 "\n"}' "$guide"; }

# The hosts of the guide: this one, its clients, and a stranger.
scene() {
    echo host1 >/etc/hostname
    hostname host1
    echo '127.0.1.1 host1' >>/etc/hosts
    ip netns add peer
    ip link add eth0 type veth peer name eth0 netns peer
    ip addr add 10.10.0.1/24 dev eth0
    ip link set eth0 up
    for peer in 2 10 11; do ip -n peer addr add "10.10.0.$peer/24" dev eth0; done
    ip -n peer link set lo up
    ip -n peer link set eth0 up
    python3 /try/packets.py serve 10.10.0.1 80 443 5432 8080 &
    ip netns exec peer python3 /try/packets.py serve 10.10.0.2 9000 &
    becomes sh -c "ss -ltn | grep -q '10.10.0.1:8080 ' && ip netns exec peer ss -ltn | grep -q '10.10.0.2:9000 '"
}

# From here on packets go all the time, until `watched`.
watch() {
    step=$1
    ip netns exec peer python3 /try/packets.py watch pass:10.10.0.2:10.10.0.1:22 pass:10.10.0.2:10.10.0.1:80 \
        pass:10.10.0.10:10.10.0.1:5432 stay:10.10.0.2:10.10.0.1:443 drop:10.10.0.2:10.10.0.1:5432 \
        drop:10.10.0.2:10.10.0.1:8080 drop:10.10.0.11:10.10.0.1:80 >/try/inward &
    inward=$!
    python3 /try/packets.py watch pass:10.10.0.1:10.10.0.2:9000 >/try/outward &
    outward=$!
    becomes grep -q ready /try/inward
    becomes grep -q ready /try/outward
}
watched() {
    kill "$inward" "$outward"
    inward_is_good=0 outward_is_good=0
    wait "$inward" || inward_is_good=$?
    wait "$outward" || outward_is_good=$?
    cat /try/inward /try/outward | grep -v ready
    promise "$step: no packet in was let through or lost that should not" test "$inward_is_good" = 0
    promise "$step: no packet out was lost" test "$outward_is_good" = 0
}

# Step by step: what comes before the old firewall is switched off, for both the same.
move() {
    resources host1-eth0 >endpoint.yaml
    resources blocked >policies.yaml
    promise "the guide has the endpoint and the policies" tortie validate -q -f endpoint.yaml -f policies.yaml
    watch "installing, and naming the interface"
    enforces
    follow "sudo tortie apply -f endpoint.yaml --wait"
    watched
    promise "status names the old firewall: $1" says "$(tortie status)" "may drop    $1"

    watch "staged policies"
    follow "sed 's/^kind: Global/kind: StagedGlobal/' policies.yaml > staged.yaml"
    follow "sudo tortie apply -f staged.yaml --wait"
    watched
    promise "status counts" says "$(tortie status)" "StagedGlobalNetworkPolicy(server)"

    watch "both enforce"
    follow "sudo tortie apply --atomic -f policies.yaml --wait"
    follow "sudo tortie delete -f staged.yaml"
    becomes tortie status --wait
    watched
}
# And what comes after.
moved() {
    promise "nothing of the old firewall may drop any more" not says "$(tortie status)" "may drop"
    follow "sudo tortie status --wait"
    follow "sudo tortie dump --verify"
    promise "a neighbour may ping" ip netns exec peer ping -c 1 -W 2 -q 10.10.0.1
}
# Back to the old firewall, which is running again.
back() {
    follow "sudo systemctl disable --now tortie-agent tortie-restore"
    follow "sudo tortie clean"
    promise "Tortie's rules are gone" not has_table
}
