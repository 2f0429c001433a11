"""A client of Neo4j: the official driver, and HTTP with certificates verified by name. Prints JSON.

usage: client.py cypher ADDRESS STATEMENT…   a line of rows for each statement, as neo4j with the password in PASSWORD
       client.py cypher-by ADDRESS STATEMENT…   the same, and in the end a line of the addresses that were tried
       client.py write ADDRESS               writes one number after the other until that fails; a line for each acknowledged
       client.py hold ADDRESS                begins a transaction, writes a number in it, prints that, and never ends it
       client.py get URL SECONDS             the status and the body, if they come within that time

The certificates that are trusted besides the system's are named in SSL_CERT_FILE. What fails prints {"error": …}, ends with 1.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import ssl
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

from neo4j import Driver, GraphDatabase

SECONDS = 20


def connected(address: str) -> Driver:
    limits = {"connection_timeout": SECONDS, "connection_acquisition_timeout": SECONDS, "max_transaction_retry_time": 0}
    return GraphDatabase.driver(address, auth=("neo4j", os.environ["PASSWORD"]), **limits)


def cypher(address: str, *statements: str) -> None:
    with connected(address) as driver:
        for statement in statements:
            records, _, _ = driver.execute_query(statement)
            print(json.dumps([record.data() for record in records], default=str))


def cypher_by(address: str, *statements: str) -> None:
    tried: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":  # https://docs.python.org/3/library/audit_events.html
            tried.append(arguments[1][0])

    sys.addaudithook(note)
    cypher(address, *statements)
    print(json.dumps(tried))


def write(address: str) -> None:
    with connected(address) as driver, driver.session() as session:
        for number in itertools.count(1):
            session.run("CREATE (:Written {number: $number})", number=number).consume()
            print(number, flush=True)


def hold(address: str) -> None:
    with connected(address) as driver, driver.session() as session:
        transaction = session.begin_transaction()
        transaction.run("CREATE (:Written {number: 0})").consume()
        print(0, flush=True)
        threading.Event().wait()


def get(url: str, seconds: str) -> None:
    context = ssl.create_default_context()
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=float(seconds), context=context) as answer:
        print(json.dumps({"status": answer.status, "body": answer.read().decode()}))


if __name__ == "__main__":
    logging.getLogger("neo4j").addHandler(logging.NullHandler())  # what it logs comes as an exception as well
    try:
        {"cypher": cypher, "cypher-by": cypher_by, "write": write, "hold": hold, "get": get}[sys.argv[1]](*sys.argv[2:])
    except Exception as error:
        causes = [error]
        while cause := causes[-1].__cause__ or causes[-1].__context__:
            causes.append(cause)
        print(json.dumps({"error": "; ".join(f"{type(each).__name__}: {each}" for each in causes)}))
        sys.exit(1)
