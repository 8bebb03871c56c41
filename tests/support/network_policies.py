"""What network policies let through between pods of one namespace, as Kubernetes defines it.

Source: Kubernetes' documentation, "Network Policies": a pod that no policy selects for a direction
is open in that direction; else any policy that allows a connection suffices; both ends must agree.
"""

from typing import Any

from support.manifests import Manifest, of_kind, pod, selects, workloads


def lets_through(manifests: list[Manifest], asks: str, asked: str, port: int) -> bool:
    """Tell whether pods of one component may open a TCP connection to those of another."""
    source, target = _labels(manifests, asks), _labels(manifests, asked)
    return _allowed(manifests, "Egress", source, target, port) and _allowed(
        manifests, "Ingress", target, source, port
    )


def _labels(manifests: list[Manifest], component: str) -> Manifest:
    for each in workloads(manifests):
        labels: Manifest = pod(each)["metadata"]["labels"]
        if labels["app.kubernetes.io/component"] == component:
            return labels
    raise LookupError(component)


def _allowed(
    manifests: list[Manifest], direction: str, subject: Manifest, peer: Manifest, port: int
) -> bool:
    policies = [
        each["spec"]
        for each in of_kind(manifests, "NetworkPolicy")
        if direction in each["spec"]["policyTypes"]
        and selects(each["spec"]["podSelector"], subject)
    ]
    if not policies:
        return True
    rules = [rule for policy in policies for rule in policy.get(direction.lower()) or []]
    side = "to" if direction == "Egress" else "from"
    return any(_port_fits(rule, port) and _peer_fits(rule.get(side), peer) for rule in rules)


def _port_fits(rule: Any, port: int) -> bool:
    ports = rule.get("ports")
    return not ports or any(
        each["port"] == port and each.get("protocol", "TCP") == "TCP" for each in ports
    )


def _peer_fits(peers: Any, labels: Manifest) -> bool:
    """Other namespaces are none of these pods', and their addresses are private ones."""
    return not peers or any(
        "podSelector" in each
        and "namespaceSelector" not in each
        and selects(each["podSelector"], labels)
        for each in peers
    )
