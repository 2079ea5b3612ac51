"""The scenarios, one module each. A module has:

NAME      as on the command line
TITLE     of its page
QUESTION  that it answers, a sentence
WITHOUT   optional: servers that have no such work, and why
run(kit)  measures; results are in kit.bench.results
report(results)  charts and tables [(title, header, lines)] of them; pure
"""

from scenarios import distance, lost, observers, offered, ratios, sessions, sizes, snapshots, watches

ALL = [sizes, ratios, observers, offered, sessions, lost, snapshots, watches, distance]
