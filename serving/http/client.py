"""Name the client that a request comes from: its key's digest, or the network of its address.

One client has a whole IPv6 network for itself, and may write an IPv4 address in several ways.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

# What a provider gives to one customer at least (RFC 6177); within it, a host has any address.
_IPV6_PREFIX = 64
# IPv4 hosts as an IPv6-only network sees them (RFC 6052, 2.1).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def plain_address(text: str) -> str | None:
    """Read the address of a client, whoever wrote it.

    Returns:
        Its usual spelling, without a zone, which may be any text; None when it is no address.
    """
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def client_network(address: str) -> str:
    """Name the client that has an address.

    Args:
        address: as the socket or `plain_address` writes it.

    Returns:
        An IPv4 address, however IPv6 wraps it, or an IPv6 network; empty for what is no address.

    >>> client_network("203.0.113.7"), client_network("::ffff:203.0.113.7")
    ('203.0.113.7', '203.0.113.7')
    >>> client_network("2001:db8:1:2:3::4")
    '2001:db8:1:2::/64'
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if inner := _wrapped(found):
        return str(inner)
    return str(ipaddress.IPv6Network((int(found), _IPV6_PREFIX), strict=False))


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def trusted_networks(proxies: Iterable[str]) -> list[str]:
    """Write trusted proxies so that uvicorn knows them by each spelling of their addresses.

    A socket that listens on `::` writes an IPv4 peer as `::ffff:10.0.0.1`.

    Args:
        proxies: addresses or networks.
    """
    networks = []
    for proxy in proxies:
        network = ipaddress.ip_network(proxy)
        networks.append(str(network))
        if isinstance(network, ipaddress.IPv4Network):
            mapped = f"::ffff:{network.network_address}/{96 + network.prefixlen}"
            networks.append(str(ipaddress.ip_network(mapped)))
        elif (inner := network.network_address.ipv4_mapped) and network.prefixlen >= 96:
            networks.append(f"{inner}/{network.prefixlen - 96}")
    return networks
