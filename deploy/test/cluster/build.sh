#!/usr/bin/env bash
# Builds what cluster.sh starts, once on a machine: Kubernetes' programs, CoreDNS, KServe's controller, helm, two checkers of manifests
# and two images, into the folder CLUSTER_TOOLS (default: fullconv-cluster in the user's cache). About a quarter of an hour of a
# processor, and 3 GB of Go's caches.
#
# Needs Go and, of Debian 12: etcd-server containerd runc containernetworking-plugins iproute2 haproxy openssl kubernetes-client.
# Kubernetes 1.34 is the last version whose kubelet runs with version 1 of the kernel's control groups.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=${CLUSTER_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/fullconv-cluster}
kubernetes=v1.34.4 kserve=v0.20.0
mkdir -p "$tools"/{bin,images,source}
cd "$tools/source"
export GOFLAGS=-mod=mod GOBIN=$tools/bin

install() { [ -x "$tools/bin/$1" ] || go install "$2"; }
install helm helm.sh/helm/v3/cmd/helm@v3.22.0
install kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
install kube-score github.com/zegl/kube-score/cmd/kube-score@v1.20.0

# Kubernetes' module names its own parts by folders of its repository. A module that requires it names their published versions:
# v1.34.4 of Kubernetes is v0.34.4 of each part.
if [ ! -x "$tools/bin/kubelet" ] || [ ! -x "$tools/bin/kube-proxy" ]; then
  programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
  printf 'module cluster\n' > go.mod
  go mod download "k8s.io/kubernetes@$kubernetes"
  module=$(go env GOMODCACHE)/k8s.io/kubernetes@$kubernetes/go.mod
  {
    printf 'module cluster\n\n%s\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$(grep '^go ' "$module")" "$kubernetes"
    # The parts stand behind "=> ./staging" in older modules, and as v0.0.0 in newer ones.
    grep -oE '^\s*k8s\.io/\S+ (=> \./staging|v0\.0\.0$)' "$module" | awk '{print $1}' | sort -u |
      while read -r part; do printf '\t%s => %s v0%s\n' "$part" "$part" "${kubernetes#v1}"; done
    printf ')\n'
  } > go.mod.new
  mv go.mod.new go.mod
  {
    printf '//go:build tools\n\npackage tools\n\nimport (\n'
    printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "${programs[@]}"
    printf ')\n'
  } > tools.go
  go mod tidy -e > /dev/null 2>&1 || true
  stamp="-X k8s.io/component-base/version.gitVersion=$kubernetes"
  stamp+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
  for program in "${programs[@]}"; do
    go build -trimpath -ldflags "-s -w $stamp" -o "$tools/bin/$program" "k8s.io/kubernetes/cmd/$program"
  done
fi

# Without the many plugins that nothing here uses.
if [ ! -x "$tools/bin/coredns" ]; then
  mkdir -p coredns && cd coredns
  printf 'module dns\n\ngo 1.24\n\nrequire github.com/coredns/coredns v1.12.4\n' > go.mod
  cat > main.go <<'GO'
package main

import (
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"

	"github.com/coredns/coredns/coremain"
)

func main() { coremain.Run() }
GO
  go mod tidy
  go build -trimpath -ldflags '-s -w' -o "$tools/bin/coredns" .
  cd ..
fi

# In its own module, whose replacements count only there. Its definitions, settings and webhooks are part of it. An autoscaled service
# wants KEDA's definition too.
if [ ! -x "$tools/bin/kserve-manager" ]; then
  go mod download github.com/kserve/kserve@$kserve
  module=$(go env GOMODCACHE)/github.com/kserve/kserve@$kserve
  mkdir -p "$tools/kserve/crd"
  cp "$module"/config/crd/full/serving.kserve.io_*.yaml "$module"/config/crd/full/clusterstoragecontainer/serving*.yaml "$tools/kserve/crd"
  cp -r "$module"/config/{configmap,webhook} "$tools/kserve"
  keda=$(cd "$module" && GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)
  cp "$keda/config/crd/bases/keda.sh_scaledobjects.yaml" "$tools/kserve/crd"
  chmod -R u+w "$tools/kserve"
  (cd "$module" && GOFLAGS=-mod=readonly go build -trimpath -ldflags '-s -w' -o "$tools/bin/kserve-manager" ./cmd/manager)
fi

# image NAME FOLDER: the folder as an image of one layer that containerd imports.
image() {
  local name=$1 folder=$2 work digest
  work=$(mktemp -d)
  tar --create --numeric-owner --owner 0 --group 0 --mode 755 --file "$work/layer.tar" --directory "$folder" .
  digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/pause"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$digest" > "$work/config.json"
  printf '[{"Config":"config.json","RepoTags":["docker.io/local/%s:1"],"Layers":["layer.tar"]}]' "$name" > "$work/manifest.json"
  tar --create --file "$tools/images/$name.tar" --directory "$work" layer.tar config.json manifest.json
  rm -r "$work"
}
if [ ! -f "$tools/images/host.tar" ]; then
  root=$(mktemp -d)
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$root/pause" "$here/pause.go"
  image pause "$root"
  # Empty but for the places where pods mount what they need of the host.
  mkdir -p "$root"/{app,node,usr,lib,lib64,etc/fonts,tmp,models,var/cache/fullconv,proc,dev,sys}
  image host "$root"
  rm -r "$root"
fi
ls "$tools/bin" "$tools/images"
