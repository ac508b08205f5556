"""Nothing leaves: a guard that stops any socket to another machine, and says who asked for it."""

from __future__ import annotations

import socket
import sys
from typing import Any

from medviz.core.errors import NotAllowed

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_LOCAL_NAMES = frozenset({None, "", "localhost", "127.0.0.1", "::1", b"localhost", b"127.0.0.1"})
_state = {"is_closed": False, "is_installed": False}


def close_network() -> None:
    """From now on, a connection or name look-up beyond this machine raises `NotAllowed`.

    It sees Python's own sockets (PEP 578 audit events). What compiled code opens is held by the
    tests that run the chain in a network namespace without a network.
    """
    _state["is_closed"] = True
    if not _state["is_installed"]:
        sys.addaudithook(_guard)
        _state["is_installed"] = True


def open_network() -> None:
    """Allow connections again, for the explicit commands that fetch something."""
    _state["is_closed"] = False


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _state["is_closed"] or not event.startswith("socket."):
        return
    leaves = (event in _CONNECTING and _is_remote(arguments)) or (
        event in _RESOLVING and arguments[0] not in _LOCAL_NAMES
    )
    if leaves:
        raise NotAllowed(
            "Something tried to reach another machine; MedViz never does while it works on a case.",
            reason="NETWORK_CLOSED",
            mend="Report this: the run was stopped before a byte left.",
        )


def _is_remote(arguments: tuple[Any, ...]) -> bool:
    caller, address = arguments[0], arguments[1]
    if getattr(caller, "family", None) == socket.AF_UNIX or not isinstance(address, tuple):
        return False
    return address[0] not in _LOCAL_NAMES
