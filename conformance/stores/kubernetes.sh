#!/usr/bin/env bash
# A Kubernetes API server of its own for one scenario, and what lets an agent in a namespace without links reach it.
#
#   kubernetes.sh server DIR BIN              in the foreground, until it is ended; DIR/ready is there when it can be used
#   kubernetes.sh agent DIR BIN HOST ARG…     the agent of HOST in the present namespace, with the rights of an agent only
#
# DIR is the scratch directory of the scenario. The way between is a unix socket, so no namespace gets an interface. The
# definitions are those that BIN installs; the rights are those of packaging/kubernetes/rbac.yaml.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
what=$1 dir=$2 bin=$3
state=$dir/kube
port=16443 # no scenario listens there, and an agent lets itself reach its store (E-467)

server() {
    kubeconfig=$("$root/tools/kube-apiserver/up.sh" --state "$state" --owner $$)
    trap '"$root/tools/kube-apiserver/down.sh" "$state"' EXIT
    trap 'exit 0' TERM INT
    . "$state/env"
    kubectl() { command kubectl --kubeconfig "$kubeconfig" "$@"; }
    "$bin" --store kubernetes datastore init --crds >/dev/null
    kubectl apply -f "$root/packaging/kubernetes/rbac.yaml" >/dev/null
    # The server knows the agent as a user, and not as the service account of a pod.
    kubectl create clusterrolebinding agent-user --clusterrole tortie-agent --user agent >/dev/null
    kubectl create rolebinding agent-user --role tortie-leases --user agent -n tortie-system >/dev/null
    sed "s|$KUBE_SERVER|https://127.0.0.1:$port|" "$kubeconfig.agent" >"$dir/kubeconfig.agent"
    socat "UNIX-LISTEN:$dir/api.sock,fork,backlog=128" "TCP:${KUBE_SERVER#https://}" &
    until [[ -S $dir/api.sock ]]; do sleep 0.02; done
    touch "$dir/ready"
    wait
}

agent() {
    host=$4
    shift 4
    socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork,backlog=128" "UNIX-CONNECT:$dir/api.sock" &
    # An agent that finds nobody there begins with a pause, and scenarios of seconds wait for that.
    until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.02; done
    KUBECONFIG=$dir/kubeconfig.agent exec "$bin" agent --store kubernetes --node "$host" "$@"
}

case $what in
server) server ;;
agent) agent "$@" ;;
*) echo "kubernetes.sh: server or agent?" >&2; exit 2 ;;
esac
