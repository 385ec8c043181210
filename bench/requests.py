"""Access and erasure of a person's messages, against the same work done by hand, in one run.

python -m bench.requests [MESSAGES …] [--database postgresql://…] [--keys-database postgresql://…]
"""

from __future__ import annotations

import argparse

from bench.installation import call, environment, migrate


def run(messages: int, database: str = "", keys_database: str = "") -> None:
    env = environment(database, keys_database)
    migrate(env)
    where = "PostgreSQL" if database else "SQLite"
    subject = call(env, "bench.measure", "store", str(messages))["subject"]
    by_hand = call(env, "bench.measure", "access_by_hand", subject)
    access = call(env, "bench.measure", "request", subject, "access")
    print(f"access of {messages:,} messages on {where}, approved → ready (aim: 2 × by hand, 200 MiB)")
    print(f"  by hand                  {by_hand['seconds']:7.2f} s   {by_hand['peak_mib']:5.0f} MiB")
    print(f"  Habeas                   {access['seconds']:7.2f} s   {access['peak_mib']:5.0f} MiB   {access['status']}")
    print(f"  ratio                    {access['seconds'] / by_hand['seconds']:7.2f}")
    floor = call(env, "bench.measure", "delete_by_hand", subject)["seconds"]
    erasure = call(env, "bench.measure", "request", subject, "erasure")
    print(
        f"erasure of {messages:,} messages on {where}, approved → receipt (aim: 3 × DELETE + 5 s; destroy step 50 ms)"
    )
    print(f"  one DELETE by hand       {floor:7.2f} s   so the aim is {3 * floor + 5:.2f} s")
    print(
        f"  Habeas                   {erasure['seconds']:7.2f} s   {erasure['peak_mib']:5.0f} MiB   {erasure['status']}"
    )
    print(f"  of it the destroy step   {erasure['destroy_ms']:7.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--database", default="")
    parser.add_argument("--keys-database", default="")
    options = parser.parse_args()
    for messages in options.messages:
        run(messages, options.database, options.keys_database)


if __name__ == "__main__":
    main()
