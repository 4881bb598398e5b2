#!/usr/bin/env bash
# The baseline: the seed post's steps as a script of helm, kubectl and curl, from a ready cluster to the first 200.
# Usage: run.sh CHART, with helm and kubectl on PATH and KUBECONFIG set. To undo: run.sh --undo
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")

if [ "$1" = --undo ]; then
  kubectl delete namespace tls --ignore-not-found > /dev/null
  kubectl delete clusterissuer selfsigned-issuer --ignore-not-found > /dev/null 2>&1 || true
  helm uninstall cert-manager --namespace cert-manager --wait > /dev/null 2>&1 || true
  kubectl delete namespace cert-manager --ignore-not-found > /dev/null
  exit
fi

scratch=$(mktemp -d)
forwards=()
trap 'kill "${forwards[@]}" 2> /dev/null || true; rm -rf "$scratch"' EXIT

helm install cert-manager "$1" --namespace cert-manager --create-namespace --wait \
  --set crds.enabled=true --set crds.keep=false --set prometheus.enabled=false > /dev/null
kubectl create namespace tls > /dev/null
kubectl apply -f "$here/certificates.yaml" > /dev/null
kubectl wait --namespace tls --for=condition=Ready certificate --all --timeout=60s > /dev/null
kubectl apply -f "$here/pods.yaml" > /dev/null
kubectl wait --namespace tls --for=condition=Ready pod --all --timeout=120s > /dev/null

for secret in curl-secret apisix-server-secret; do
  for entry in tls.crt tls.key ca.crt; do
    kubectl get secret "$secret" --namespace tls -o jsonpath="{.data.${entry/./\\.}}" | base64 -d > "$scratch/$secret.$entry"
  done
done
# forward PORT: sets `local_port` to a port on this machine that leads to APISIX's.
forward() {
  kubectl port-forward --namespace tls pod/apisix ":$1" > "$scratch/forward.$1" 2>&1 &
  forwards+=($!)
  until local_port=$(sed -nE 's/^Forwarding from 127\.0\.0\.1:([0-9]+).*/\1/p' "$scratch/forward.$1") && [ -n "$local_port" ]; do
    sleep 0.05
  done
}
as_curl=(--silent --show-error --cert "$scratch/curl-secret.tls.crt" --key "$scratch/curl-secret.tls.key" --cacert "$scratch/curl-secret.ca.crt")
text() { python3 -c 'import json, sys; print(json.dumps(open(sys.argv[1]).read()))' "$1"; }
forward 9180
put() { # PATH BODY
  curl "${as_curl[@]}" --fail --output /dev/null --resolve "admin:$local_port:127.0.0.1" "https://admin:$local_port/apisix/admin/$1" \
    -H 'X-API-KEY: edd1c9f034335f136f87ad84b625c8f1' -X PUT -d "$2"
}
client=$(text "$scratch/curl-secret.tls.crt"); key=$(text "$scratch/curl-secret.tls.key"); ca=$(text "$scratch/curl-secret.ca.crt")
# The client certificate gets its own object instead of being inlined in the route as in the post: the stand-in knows no other way.
put ssls/2 "{\"type\": \"client\", \"cert\": $client, \"key\": $key}"
put routes/1 "{\"uri\": \"/\", \"upstream\": {\"type\": \"roundrobin\", \"scheme\": \"https\", \"nodes\": {\"upstream:443\": 1}, \"tls\": {\"client_cert_id\": \"2\"}}}"
# APISIX 3.18 asks for no client certificate until an SSL object with a client CA exists.
put ssls/1 "{\"snis\": [\"upstream\"], \"cert\": $(text "$scratch/apisix-server-secret.tls.crt"), \"key\": $(text "$scratch/apisix-server-secret.tls.key"), \"client\": {\"ca\": $ca}}"
forward 9443
for _ in $(seq 50); do
  curl "${as_curl[@]}" --fail --resolve "upstream:$local_port:127.0.0.1" "https://upstream:$local_port/" && exit
  sleep 0.1
done
exit 1
