"""List what clients show as their API key: right, wrong, in odd places."""

from __future__ import annotations

KEYS = ("Kf3-first-key-0123456789", "Kf3-second~key/+=.9876543210")
FIRST, SECOND = KEYS
KEY_OF_TWO = f"X-API-Key: {SECOND}"

# One key, and what a proxy asks for besides.
TOGETHER: list[list[str | bytes]] = [
    ["Authorization: Basic d3Jvbmc=", f"X-API-Key: {FIRST}"],
    [f"Authorization: Bearer {FIRST}", f"X-API-Key: {FIRST}"],
    [f"X-API-Key: {FIRST}"] * 9,
]

OPENING = [
    f"Authorization: Bearer {FIRST}",
    f"Authorization: Bearer {SECOND}",
    f"authorization: bearer {FIRST}",
    f"AUTHORIZATION: BEARER {FIRST}",
    f"Authorization: Bearer   {FIRST}  ",
    f"X-API-Key: {FIRST}",
    f"x-api-key:{SECOND}",
    f"X-API-Key: \t{SECOND} ",
]

USELESS: list[list[str | bytes]] = [
    [],
    ["Authorization:"],
    ["Authorization: Bearer"],
    ["Authorization: Bearer "],
    [f"Authorization: {FIRST}"],
    [f"Authorization: Basic {FIRST}"],
    [f"Authorization: Bearer{FIRST}"],
    [f"Authorization: Bearer {FIRST}x"],
    [f"Authorization: Bearer {FIRST[:-1]}"],
    [f"Authorization: Bearer {FIRST.upper()}"],
    [f"Authorization: Bearer {FIRST},{SECOND}"],
    [f"Authorization: Bearer {FIRST} {SECOND}"],
    [f'Authorization: Bearer "{FIRST}"'],
    [f"Authorization: Bearer token={FIRST}"],
    ["Authorization: Bearer " + "k" * 30_000],
    [b"Authorization: Bearer \xff\xfe\x80"],
    [f"Authorization: Bearer {FIRST}\xe9"],
    [f"Proxy-Authorization: Bearer {FIRST}"],
    ["X-API-Key:"],
    ["X-API-Key: ,"],
    ["X-API-Key: *"],
    ["X-API-Key: null"],
    ["X-API-Key: <2>"],
    [f"X-API-Key: Bearer {FIRST}"],
    [f"X-API-Key: {FIRST}, {SECOND}"],
    [f"X-API-Key:  {FIRST} ,, {SECOND}"],
    ["X-API-Key: " + "k" * 30_000],
    [b"X-API-Key: \xff\xfe\x80"],
    [f"X_API_Key: {FIRST}"],
    [f"X-API-Keys: {FIRST}"],
    [f"Cookie: X-API-Key={FIRST}; token={FIRST}"],
    [f"X-API-Key: {FIRST[:12]}", f"X-API-Key: {FIRST[12:]}"],
    ["X-Forwarded-For: 127.0.0.1"],
    ["Authorization: Bearer a", "X-API-Key: b"],
    # Of several that differ none is compared: each request is one guess.
    [*(f"X-API-Key: guess-{number}" for number in range(89)), f"X-API-Key: {FIRST}"],
    [
        *(f"Authorization: Bearer {number}" for number in range(89)),
        f"Authorization: Bearer {FIRST}",
    ],
    [f"Authorization: Bearer {FIRST}", "X-API-Key: wrong"],
    ["Authorization: Bearer wrong", f"X-API-Key: {FIRST}"],
    [f"Authorization: Bearer {FIRST}", f"X-API-Key: {SECOND}"],
    [f"X-API-Key: {FIRST}", "X-API-Key: wrong"],
    ["X-API-Key: wrong", f"X-API-Key: {FIRST}"],
]
