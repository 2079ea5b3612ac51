"""The tables and sentences that every scenario's page has, whatever it is about: all rounds' ranges, what failed, and what hangs less
on how many processors there are. Pure: results in, lines out.
"""

from scenarios.kit import median
from scenarios.sizes import told
from summary import marks

APART = {"leader_cpu_us_per_operation": "leader's CPU µs per operation", "cpu_us_per_operation": "all members'",
         "leader_syncs_per_second": "leader's syncs/s", "operations_per_leader_sync": "operations per sync of the leader",
         "syncs_per_second": "syncs/s of all members",
         "leader_instructions_per_operation": "leader's instructions per operation"}
LATENCIES = {"p50_us": "p50 ms", "p99_us": "p99 ms", "p999_us": "p99.9 ms", "max_us": "max ms"}
# So begin the sentences that are told anew when a page is written again.
FAILED, NOISY = "Failed requests", "~:"
KINDS_TOLD = 3


def by_load(measured):
    """(row, label, server) → its rounds, in their order."""
    found = {}
    for result in measured:
        found.setdefault((result["row"], str(result.get("label") or result.get("x", "")), result["server"]), []).append(result)
    return found


def apart(measured):
    """What doesn't hang on how many processors there are, of each load: medians of the rounds. No table where nothing is known."""
    found = {key: [result.get("derived", {}) for result in rounds] for key, rounds in by_load(measured).items()}
    known = [name for name in APART if any(one.get(name) is not None for many in found.values() for one in many)]
    lines = [[*key, *(told(median([one.get(name) for one in many])) for name in known)]
             for key, many in found.items() if any(one.get(name) is not None for one in many for name in known)]
    header = ["load", "", "server", *(APART[name] for name in known)]
    return [("What hangs less on the number of processors", header, lines)] if lines else []


def spread(values):
    """Their median, and how far they lie apart, where there are several."""
    values = [value for value in values if value is not None]
    if len(values) < 2 or told(min(values)) == told(max(values)):
        return told(median(values))
    return f"{told(median(values))} ({told(min(values))} to {told(max(values))})"


def ranges(measured):
    """Of each load that has latencies: throughput and latencies up to the longest, medians and ranges of the rounds, with marks."""
    lines = []
    for key, rounds in by_load(measured).items():
        rounds = [one for one in rounds if one.get("operations_per_second") and one.get("latency", {}).get("p50_us") is not None]
        if not rounds:
            continue
        latencies = (spread([one["latency"].get(name, 0) / 1000 for one in rounds]) for name in LATENCIES)
        errors = sum(sum((one.get("errors") or {}).values()) for one in rounds)
        lines.append([*key, len(rounds), spread([one["operations_per_second"] for one in rounds]) + marks(rounds), *latencies,
                      f"{errors:,}" if errors else "–"])
    header = ["load", "", "server", "rounds", "operations/s", *LATENCIES.values(), "failed"]
    return [("Medians and ranges of the rounds", header, lines)] if lines else []


def failed_requests(measured):
    """A sentence a server whose requests failed, with the commonest reasons; none where all were answered."""
    sentences = []
    for server in dict.fromkeys(one["server"] for one in measured):
        own = [one for one in measured if one["server"] == server]
        failed = [one for one in own if one.get("errors")]
        kinds = {}
        for one in failed:
            for kind, count in one["errors"].items():
                kinds[kind] = kinds.get(kind, 0) + count
        if kinds:
            ordered = sorted(kinds.items(), key=lambda item: -item[1])
            reasons = ", ".join(f"{kind} ({count:,})" for kind, count in ordered[:KINDS_TOLD])
            others = sum(count for _, count in ordered[KINDS_TOLD:])
            sentences.append(f"{FAILED} of {server}: {sum(kinds.values()):,}, in {len(failed)} of {len(own)} measurements: {reasons}"
                             f"{f', others ({others:,})' if others else ''}. Latencies are of those that were answered.")
    return sentences


def noisy(limit, measured):
    """What the mark ~ says, where there is one."""
    return [f"{NOISY} others used more than {limit} of the machine meanwhile."] if any(one.get("noisy") for one in measured) else []
