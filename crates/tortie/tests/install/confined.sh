# The life of an agent with the capabilities of its unit, on a file system that is read-only but for the folders of the
# unit. Called in network, mount and process namespaces of its own: PROGRAM, AGENT's capabilities, those of RESTORE.
set -eu
program=$1 agent_capabilities=$2 restore_capabilities=$3

fail() {
    echo "failed: $*" >&2
    exit 1
}
# The capabilities follow without a space.
confine="setpriv --inh-caps=-all --no-new-privs --bounding-set=-all"
# Asks again for a minute; only a broken build takes that long.
becomes() {
    end=$(($(date +%s) + 60))
    until "$@"; do
        kill -0 "$agent" 2>/dev/null || fail "the agent has ended before: $*"
        [ "$(date +%s)" -lt "$end" ] || fail "in vain: $*"
        sleep 0.05
    done
}
# The rules, whichever instance of its chain each is in (D-10).
rules() { nft --stateless list table inet tortie 2>/dev/null | sed 's/\.\.[0-9]*/../g' | sort; }
are_as_before() { [ "$(rules)" = "$before" ]; }
effective() { sed -n 's/^CapEff:\t//p' "$1"; }
answers() { "$program" status >/dev/null 2>&1; }

# `nft` and the shell need no more than what is there; the program needs the two folders.
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -m 755 /run/tortie
mkdir -m 750 /var/lib/tortie
mount -t bpf bpf /sys/fs/bpf
for folder in /run/tortie /var/lib/tortie; do mount --bind "$folder" "$folder"; done
# A group that the store and the socket belong to (D-13).
{ grep -v '^tortie:' /etc/group; echo 'tortie:x:4242:'; } >/run/group
mount --bind /run/group /etc/group
mount -t proc proc /proc
cut -d' ' -f5 /proc/self/mountinfo | while read -r place; do
    case "$place" in
    /proc* | /dev* | /run/tortie | /var/lib/tortie | /sys/fs/bpf) ;;
    # What lies under another mount cannot be seen, and is none any more.
    *) if mountpoint -q "$place"; then mount -o remount,bind,ro "$place"; fi ;;
    esac
done
for place in / /tmp /etc /run /var/lib; do
    if $confine"$agent_capabilities" touch "$place/written" 2>/dev/null; then fail "$place can be written to"; fi
done

ip link set lo up
ip link add eth0 type veth peer name peer0
ip link set peer0 up
ip link set eth0 up
export TORTIE_STORE=embedded:/var/lib/tortie

$confine"$agent_capabilities" "$program" agent --node n1 --log-level error &
agent=$!
becomes answers
# Exactly those: bit 0 is CAP_CHOWN, bit 12 CAP_NET_ADMIN, bit 39 CAP_BPF.
[ "$(effective "/proc/$agent/status")" = 0000008000001001 ] || fail "capabilities: $(effective "/proc/$agent/status")"
for file in /var/lib/tortie/store.db /run/tortie/agent.sock; do
    [ "$(stat -c %g "$file")" = 4242 ] || fail "$file belongs to group $(stat -c %g "$file")"
done

"$program" apply --quiet --wait=60s -f - <<YAML
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h, labels: {role: web}}
spec: {node: n1, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec: {selector: "role == 'web'", ingress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: banned}
spec:
  {selector: "role == 'web'", doNotTrack: true, applyOnForward: true, types: [Ingress],
  ingress: [{action: Deny, source: {nets: [203.0.113.0/24, 198.51.100.1/32]}}, {action: Deny, source: {nets: ["2001:db8::/32"]}}]}
YAML
before=$(rules)
printf '%s\n' "$before" | grep -q 'policy GlobalNetworkPolicy web' || fail "the policy is not in the kernel: $before"
"$program" status -o json | grep -q '"state_error": *null' || fail "the state is not saved: $("$program" status -o json)"
# Early drops are in the driver, and outlive the agent (E-484).
"$program" status -o json | grep -q '"mode": *"driver"' || fail "no early drops: $("$program" status)"
[ "$(ls /sys/fs/bpf/tortie/*/link | wc -l)" = 1 ] || fail "the program is not kept: $(ls -R /sys/fs/bpf)"
# Foreign hands are repaired, which takes the events of other processes.
nft flush table inet tortie
becomes are_as_before
kill "$agent"
wait "$agent" || fail "the agent ended with $?"
ip -d link show eth0 | grep -q 'prog/xdp' || fail "the program went with the agent: $(ip -d link show eth0)"

nft delete table inet tortie
$confine"$restore_capabilities" "$program" agent --restore | grep '^restored: ' || fail "nothing was restored"
are_as_before || fail "the restored rules differ"

# Without CAP_NET_ADMIN it is told (exit code 8), so that capability is needed.
code=0
$confine,+chown "$program" agent --once --node n1 >/dev/null 2>&1 || code=$?
[ "$code" = 8 ] || fail "without CAP_NET_ADMIN the exit code is $code"
echo "all is well"
