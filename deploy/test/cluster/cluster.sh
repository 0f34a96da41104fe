#!/usr/bin/env bash
# A real Kubernetes on one Linux machine without a container engine, for tests: etcd, API server, controller manager, scheduler and
# CoreDNS as processes, and for each node a network namespace with containerd, kubelet and kube-proxy.
#
#   cluster.sh up NODES [ARCHIVE]...    at most 9 nodes, each with the images of the archives; kubectl's settings are then in
#                                       CLUSTER_RUN/kubeconfig
#   cluster.sh kill-node N              as when its power fails: first its link, then its processes
#   cluster.sh down                     all of it, with its folder
#
# Needs root, and what build.sh builds and names. CLUSTER_TOOLS: where build.sh has put that. CLUSTER_RUN: a folder for the run (default:
# fullconv-cluster in the temporary folder). The host reaches pods by address; names and addresses of services are for pods only.
#
# Each node has a control group of its own, since kubelets end pods that they find in theirs and do not know. Its processes are started by
# nsenter: `ip netns exec` mounts another /sys, which hides control groups.
set -u
tools=${CLUSTER_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/fullconv-cluster}
run=${CLUSTER_RUN:-${TMPDIR:-/tmp}/fullconv-cluster}
network=10.77.0 bridge=fcbridge
server=https://$network.1:16443 etcd=http://127.0.0.1:12379
export KUBECONFIG=$run/kubeconfig

# start FOLDER NAME COMMAND...: in the background, with a log and the process's number beside it.
start() {
  local folder=$1 name=$2
  shift 2
  nohup "$@" > "$folder/$name.log" 2>&1 < /dev/null &
  echo $! > "$folder/$name.pid"
}

# until_true COMMAND...: for at most a minute.
until_true() {
  for _ in $(seq 240); do "$@" > /dev/null 2>&1 && return; sleep 0.25; done
  echo "cluster.sh: this never came true: $*" >&2
  return 1
}

up() {
  local nodes=$1 node
  shift
  [ -e "$run" ] && { echo "cluster.sh: $run is there already; run cluster.sh down" >&2; exit 1; }
  mkdir -p "$run" && cd "$run" || exit 1
  ip link add $bridge type bridge && ip address add $network.1/24 dev $bridge && ip link set $bridge up || exit 1
  openssl genrsa -out accounts.key 2048 2> /dev/null
  openssl rsa -in accounts.key -pubout -out accounts.pub 2> /dev/null
  echo 'testing,admin,1,system:masters' > tokens.csv
  cat > kubeconfig <<YAML
apiVersion: v1
kind: Config
clusters: [{ name: test, cluster: { server: '$server', insecure-skip-tls-verify: true } }]
users: [{ name: test, user: { token: testing } }]
contexts: [{ name: test, context: { cluster: test, user: test } }]
current-context: test
YAML
  start . etcd etcd --data-dir etcd --listen-client-urls $etcd --advertise-client-urls $etcd --listen-peer-urls http://127.0.0.1:12380
  sleep 1
  # Aggregated APIs are asked at their endpoints, since nothing serves the addresses of services.
  start . apiserver "$tools/bin/kube-apiserver" --etcd-servers $etcd --bind-address $network.1 --secure-port 16443 \
    --advertise-address $network.1 --cert-dir certificates --service-account-key-file accounts.pub \
    --service-account-signing-key-file accounts.key --service-account-issuer https://kubernetes.default.svc \
    --token-auth-file tokens.csv --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16 \
    --enable-aggregator-routing --kubelet-preferred-address-types InternalIP --endpoint-reconciler-type none --disable-admission-plugins ServiceAccount
  until_true kubectl get --raw /readyz || exit 1
  start . controllers "$tools/bin/kube-controller-manager" --kubeconfig kubeconfig --leader-elect=false --bind-address 127.0.0.1 \
    --service-account-private-key-file accounts.key --controllers '*,-serviceaccount-token-controller,-cloud-node-lifecycle-controller' \
    --node-monitor-period 2s --node-monitor-grace-period 10s --horizontal-pod-autoscaler-sync-period 3s \
    --horizontal-pod-autoscaler-initial-readiness-delay 3s
  start . scheduler "$tools/bin/kube-scheduler" --kubeconfig kubeconfig --leader-elect=false --bind-address 127.0.0.1
  cat > Corefile <<CONFIGURATION
.:53 {
  bind $network.1
  errors
  kubernetes cluster.local {
    kubeconfig $run/kubeconfig
  }
}
CONFIGURATION
  start . coredns "$tools/bin/coredns" -conf Corefile
  for node in $(seq "$nodes"); do node "$node" "$@"; done
  until_true all_ready "$nodes" || exit 1
  kubectl get nodes
}

all_ready() { [ "$(kubectl get nodes --no-headers | grep -cw Ready)" = "$1" ]; }

node() {
  local n=$1 folder=$run/node$1 socket snapshotter controller other
  shift
  socket=$folder/containerd.sock
  mkdir -p "$folder"/{root,state,cni,kubelet,pods}
  ip netns add fcnode$n
  ip link add fcveth$n type veth peer name eth0 netns fcnode$n
  ip link set fcveth$n master $bridge up
  nsenter --net=/run/netns/fcnode$n sh -c "ip address add $network.1$n/24 dev eth0 && ip link set eth0 up && ip link set lo up &&
    ip route add default via $network.1"
  ip netns exec fcnode$n sysctl -qw net.ipv4.ip_forward=1
  # From node to node without the host, which may not forward.
  for other in 1 2 3 4 5 6 7 8 9; do
    [ "$other" = "$n" ] || nsenter --net=/run/netns/fcnode$n ip route add 10.77.$other.0/24 via $network.1$other
  done
  ip route replace 10.77.$n.0/24 via $network.1$n
  # An overlay cannot lie on another one, as in a container.
  snapshotter=overlayfs
  [ "$(stat --file-system --format %T "$folder")" = overlayfs ] && snapshotter=native
  cat > "$folder/containerd.toml" <<TOML
version = 2
root = "$folder/root"
state = "$folder/state"
[grpc]
  address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/local/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$folder/cni"
TOML
  cat > "$folder/cni/pods.conflist" <<JSON
{ "cniVersion": "0.4.0", "name": "pods", "plugins": [{ "type": "ptp", "ipam": { "type": "host-local", "dataDir": "$folder/addresses",
  "ranges": [[{ "subnet": "10.77.$n.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] } }] }
JSON
  cat > "$folder/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $network.1$n
healthzBindAddress: 127.0.0.1
authentication: { anonymous: { enabled: true }, webhook: { enabled: false } }
authorization: { mode: AlwaysAllow }
containerRuntimeEndpoint: unix://$socket
cgroupDriver: cgroupfs
cgroupRoot: /fcnode$n
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 8
podLogsDir: $folder/pods
clusterDNS: [$network.1]
clusterDomain: cluster.local
# Images cannot be had again: none is removed when the disk is full.
imageGCHighThresholdPercent: 100
evictionHard: { memory.available: 50Mi, nodefs.available: 0%, imagefs.available: 0% }
YAML
  for controller in /sys/fs/cgroup/*/; do mkdir -p "${controller}fcnode$n" 2> /dev/null; done
  # Version 1 gives a new group no processors and no memory.
  if [ -d /sys/fs/cgroup/cpuset ]; then
    for controller in cpus mems; do cat /sys/fs/cgroup/cpuset/cpuset.$controller > /sys/fs/cgroup/cpuset/fcnode$n/cpuset.$controller; done
  fi
  start "$folder" containerd nsenter --net=/run/netns/fcnode$n containerd --config "$folder/containerd.toml"
  until_true ctr --address "$socket" version || exit 1
  for image in "$tools/images/pause.tar" "$@"; do
    ctr --address "$socket" --namespace k8s.io images import --snapshotter $snapshotter "$image" > /dev/null || exit 1
  done
  start "$folder" kubelet nsenter --net=/run/netns/fcnode$n "$tools/bin/kubelet" --config "$folder/kubelet.yaml" \
    --kubeconfig "$run/kubeconfig" --root-dir "$folder/kubelet" --cert-dir "$folder/certificates" \
    --hostname-override node$n --node-ip $network.1$n
  cat > "$folder/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: { kubeconfig: $run/kubeconfig }
hostnameOverride: node$n
mode: nftables
clusterCIDR: 10.77.0.0/16
# Those are the host's.
conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }
YAML
  start "$folder" proxy nsenter --net=/run/netns/fcnode$n "$tools/bin/kube-proxy" --config "$folder/proxy.yaml"
}

kill_node() {
  local n=$1 folder=$run/node$1
  ip link set fcveth$n down 2> /dev/null
  kill -9 $(cat "$folder/kubelet.pid" "$folder/proxy.pid" "$folder/containerd.pid") 2> /dev/null
  # Twice: a process may start another meanwhile.
  for _ in 1 2; do
    find /sys/fs/cgroup -path "*/fcnode$n/*" -name cgroup.procs -exec cat {} + 2> /dev/null | sort -u | xargs -r kill -9 2> /dev/null
  done
  # Their keepers, which are in no group of the node.
  ps -eo pid,args | awk -v socket="$folder/containerd.sock" '/containerd-shim/ && index($0, socket) { print $1 }' | xargs -r kill -9 2> /dev/null
  # What has ended by itself meanwhile is as dead.
  return 0
}

down() {
  local folder n group
  for folder in "$run"/node*/; do
    [ -d "$folder" ] || continue
    n=$(basename "$folder") n=${n#node}
    kill_node "$n"
    unmount "$folder"
    ip netns delete fcnode$n 2> /dev/null
    ip link delete fcveth$n 2> /dev/null
    ip route delete 10.77.$n.0/24 2> /dev/null
    for group in /sys/fs/cgroup/*/fcnode$n /sys/fs/cgroup/fcnode$n; do
      [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} + 2> /dev/null
    done
  done
  for name in coredns scheduler controllers apiserver etcd; do kill -9 "$(cat "$run/$name.pid" 2> /dev/null)" 2> /dev/null; done
  ip link delete $bridge 2> /dev/null
  # The network namespaces of the pods: those that nobody is in any more.
  for name in $(ls /run/netns 2> /dev/null | grep '^cni-'); do
    [ -z "$(ip netns pids "$name" 2> /dev/null)" ] && ip netns delete "$name" 2> /dev/null
  done
  sleep 0.5
  unmount "$run/"
  # Nothing of the host may still be mounted below what is removed.
  if [ -n "$(mounts_below "$run/")" ]; then
    echo "cluster.sh: $run stays, because something is mounted there: $(mounts_below "$run/")" >&2
    return 1
  fi
  rm -rf "$run"
}

mounts_below() { awk -v below="$1" 'index($2, below) == 1 { print $2 }' /proc/mounts; }
unmount() { mounts_below "$1" | sort -r | xargs -r umount -l 2> /dev/null; }

case ${1:-} in
  up) up "${@:2}" ;;
  kill-node) kill_node "${2:?a node\'s number}" ;;
  down) down ;;
  *) sed -n '2,/^set/p' "$0" | grep '^#'; exit 2 ;;
esac
