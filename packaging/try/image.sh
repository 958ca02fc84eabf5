#!/bin/bash
# What the container image promises. It is called in a network namespace and with mounts of its own: ARCHIVE, NAME, and an
# empty folder for all that it writes.
set -eu
archive=$1 name=$2 work=$3
promise() {
    words=$1
    shift
    if "$@" >/dev/null; then echo "ok    $words"; else
        echo "BROKEN $words: $*"
        exit 1
    fi
}
not() { ! "$@"; }
becomes() {
    for _ in $(seq 600); do if "$@" >/dev/null 2>&1; then return 0; fi; sleep 0.1; done
    "$@"
}
podman() { command podman --root "$work/storage" --runroot "$work/run" --storage-driver vfs --cgroup-manager cgroupfs --events-backend none --runtime crun "$@"; }
# What the agent says helps where something is broken.
trap '[ $? = 0 ] || podman logs agent || true; podman rm --force --all --time 0 >/dev/null 2>&1 || true; ip netns del tortie-peer 2>/dev/null || true' EXIT

# Where both versions of control groups are mounted crun takes neither; the mounts are those of this script.
umount /sys/fs/cgroup/unified 2>/dev/null || true

echo "--- the archive"
skopeo inspect "oci-archive:$archive" >"$work/oci"
skopeo inspect "docker-archive:$archive" >"$work/docker"
promise "OCI's tools and Docker's find the same layer in it" test "$(grep -o 'sha256:[0-9a-f]*' "$work/oci" | tail -n 1)" = \
    "$(grep -o 'sha256:[0-9a-f]*' "$work/docker" | tail -n 1)"
mkdir "$work/layout"
tar -xf "$archive" -C "$work/layout"
umoci unpack --image "$work/layout:${name##*:}" "$work/bundle"
promise "umoci unpacks it" test -x "$work/bundle/rootfs/usr/bin/tortie"
promise "there is no other program, and no shell" test "$(find "$work/bundle/rootfs" -type f -perm /111)" = \
    "$work/bundle/rootfs/usr/bin/tortie"
promise "nobody but root may write there" test -z "$(find "$work/bundle/rootfs" ! -type l \( -perm /022 -o ! -user 0 \))"

echo "--- the container"
podman load --quiet --input "$archive"
run() { podman run --rm --network host --read-only --cap-drop all --security-opt no-new-privileges \
    --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"; }
promise "podman runs it under its name" run "$name" version --client
promise "also as calicoctl" run --entrypoint calicoctl "$name" validate --help
promise "and as nobody, as controllers do" run --user 65534:65534 "$name" install kubernetes --image "$name"

# The neighbour, and what the pod of the DaemonSet has: the network of its host, two folders, one capability.
ip link set lo up
ip netns add tortie-peer
ip link add eth0 type veth peer name eth0 netns tortie-peer
ip addr add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip -n tortie-peer addr add 192.0.2.2/24 dev eth0
ip -n tortie-peer link set eth0 up
python3 -m http.server --bind 192.0.2.1 8055 >/dev/null 2>&1 &
python3 -m http.server --bind 192.0.2.1 5432 >/dev/null 2>&1 &
reaches() { ip netns exec tortie-peer curl -s -o "$work/answer" -m 3 "http://192.0.2.1:$1/"; }
mkdir "$work/state" "$work/lock"
as_pod=(-v "$work/state:/var/lib/tortie" -v "$work/lock:/run/tortie" -e TORTIE_STORE=embedded:/var/lib/tortie)
run --name agent --detach --cap-add NET_ADMIN "${as_pod[@]}" -e FELIX_HEALTHENABLED=true -e FELIX_HEALTHHOST=127.0.0.1 \
    -e FELIX_HEALTHPORT=9199 "$name" agent --node myhost
inside() { podman exec -i agent /usr/bin/tortie "$@"; }
promise "the agent is ready" becomes curl -sf -m 3 http://127.0.0.1:9199/readiness
promise "and lives" curl -sf -m 3 http://127.0.0.1:9199/liveness
for port in 8055 5432; do promise "port $port is open" becomes reaches "$port"; done
inside apply -f - --wait=60s <packaging/examples/1-endpoint.yaml
inside apply -f - --wait=60s <packaging/examples/3-no-databases.yaml
promise "what an example denies is denied" not reaches 5432
promise "the rest is open" reaches 8055
promise "the kernel does what policy says" inside dump --verify
podman stop agent >/dev/null
promise "the rules outlive the container" not reaches 5432
run --cap-add NET_ADMIN "${as_pod[@]}" "$name" clean
promise "and go when they are told to" reaches 5432
kill %1 %2
echo "every promise is kept"
