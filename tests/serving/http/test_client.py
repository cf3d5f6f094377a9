"""One client is one name, however its address is written."""

import ipaddress

import pytest

from serving.http.client import client_network, plain_address, trusted_networks


@pytest.mark.parametrize(
    "address",
    [
        "203.0.113.7",
        "::ffff:203.0.113.7",
        "::FFFF:CB00:7107",
        "::ffff:203.0.113.7%eth0",
        "64:ff9b::203.0.113.7",  # NAT64
        "2002:cb00:7107:5::1",  # 6to4
        "2001:0:c000:201:0:ffff:34ff:8ef8",  # Teredo, whose last 32 bits are inverted
    ],
)
def test_an_ipv4_client_is_one_client_however_ipv6_writes_it(address: str) -> None:
    assert client_network(address) == "203.0.113.7"


def test_the_hosts_of_one_ipv6_network_are_one_client() -> None:
    hosts = {
        "2001:db8:1:2::1",
        "2001:DB8:1:2:ffff::",
        "2001:db8:1:2:0:0:203.0.113.7",
        "2001:db8:1:2::%x",
    }
    assert {client_network(host) for host in hosts} == {"2001:db8:1:2::/64"}
    assert client_network("2001:db8:1:3::1") == "2001:db8:1:3::/64"
    assert client_network("fe80::1%eth0") == "fe80::/64"


@pytest.mark.parametrize(
    "text", ["", "unknown", "203.0.113.7:80", "[::1]", "1.2.3", "_hidden", "%"]
)
def test_what_is_no_address_is_one_client(text: str) -> None:
    assert client_network(text) == ""
    assert plain_address(text) is None


def test_a_zone_which_may_be_any_text_is_left_out() -> None:
    assert plain_address("fe80::1%Doe^John") == "fe80::1"


@pytest.mark.parametrize(
    ("proxy", "peers"),
    [
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"]),
        ("10.1.2.3", ["10.1.2.3", "::ffff:10.1.2.3"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"]),
        ("2001:db8::/32", ["2001:db8::1"]),
        ("fe80::1", ["fe80::1", "fe80::1%eth0"]),
    ],
)
def test_a_trusted_proxy_is_known_by_each_spelling(proxy: str, peers: list[str]) -> None:
    networks = [ipaddress.ip_network(each) for each in trusted_networks([proxy])]
    for peer in peers:
        assert any(ipaddress.ip_address(peer) in network for network in networks)
    assert not any(ipaddress.ip_address("11.0.0.1") in network for network in networks)
    assert not any(ipaddress.ip_address("::1") in network for network in networks)
