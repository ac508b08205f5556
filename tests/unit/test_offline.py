"""While a case runs, nothing on this machine may reach another one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from medviz.core.errors import NotAllowed
from medviz.offline import close_network, open_network


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    close_network()
    yield
    open_network()


def test_a_connection_to_another_machine_is_stopped_before_a_byte_leaves() -> None:
    with socket.socket() as line, pytest.raises(NotAllowed, match="another machine"):
        line.connect(("192.0.2.1", 80))  # TEST-NET-1: nobody is there


def test_a_datagram_is_stopped_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line, pytest.raises(NotAllowed):
        line.sendto(b"x", ("192.0.2.1", 53))


def test_a_name_is_not_even_looked_up() -> None:
    with pytest.raises(NotAllowed):
        socket.getaddrinfo("example.invalid", 80)


def test_this_machine_may_speak_with_itself() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as line,
    ):
        assert line.getpeername() == server.getsockname()
