"""Purging 10,000 objects from a bucket, counted in requests, against a loop that deletes one by one.

python -m bench.purge_s3 [OBJECTS]      (moto's server on loopback; an in-memory dict, so requests count, not seconds)
"""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections import Counter
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

ONE_BY_ONE = 200  # objects of the loop by hand; its cost grows in step


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    import django
    from django.conf import settings

    settings.configure(USE_I18N=False)
    django.setup()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from apps.locations.connectors.s3 import S3Connector
    from apps.locations.contract import Identity, Scope

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    config = {
        "bucket": "bench", "endpoint_url": f"http://{host}:{port}", "access_key": "test", "secret_key": "test",
        "templates": ["users/{user_id}/"],
    }  # fmt: skip
    connector, who = S3Connector(config), Identity(uuid.uuid4(), None, None, (("user_id", "4"),))
    client: Any = boto3.client(
        "s3", endpoint_url=config["endpoint_url"], aws_access_key_id="test", aws_secret_access_key="test",
        region_name="us-east-1",
    )  # fmt: skip
    client.create_bucket(Bucket="bench")
    for number in range(count):
        client.put_object(Bucket="bench", Key=f"users/4/{number:06d}", Body=b"x")
    began = time.perf_counter()
    for number in range(ONE_BY_ONE):
        client.delete_object(Bucket="bench", Key=f"users/4/{number:06d}")
    by_hand = (time.perf_counter() - began) / ONE_BY_ONE
    calls: Counter[str] = Counter()
    connector.client.meta.events.register("before-call", lambda model, **_: calls.update([model.name]))
    began = time.perf_counter()
    erased = sum(progress.erased for progress in connector.erase(who, Scope(), ""))
    taken = time.perf_counter() - began
    total = sum(calls.values())
    left = connector.remaining(who, Scope()).count
    print(f"S3 purge of {erased:,} objects: {calls['DeleteObjects']} DeleteObjects, {total} requests of any kind")
    print(
        f"  per DeleteObjects {erased / calls['DeleteObjects']:,.0f} (aim 900), per request {erased / total:,.0f} (aim 400)"
    )
    print(f"  {taken:.2f} s, one by one it would be {by_hand * erased:.2f} s; left: {left}")
    server.stop()


if __name__ == "__main__":
    main()
