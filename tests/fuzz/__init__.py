"""A harness that goes on attacking: files for every reader, random nets of every layer.

    python -m tests.fuzz --inputs 200000 --nets 20000 --seed 1 --out failures

tries so many, says how many came to what, and writes the smallest failing inputs into ``failures``.
One seed always gives the same inputs.  ``--first`` and other seeds go on from there; ``--sum`` adds
up all runs with one ``--out``.

- ``readers`` finds the package's readers by their names, ``seeds`` makes small valid files, and
  ``mutate`` makes them wrong: bytes, text, and through ``codecs`` what is packed in other formats.
- ``nets`` makes random nets of every registered layer type, whose parameters ``draw`` takes from
  the schema and ``lone`` finds out by trying; ``judge`` runs each on all devices.
- ``sandbox`` tries inputs in processes of their own, ``bounds`` measures their memory and time,
  ``campaign`` counts, and ``smaller`` makes small what failed.
- ``planted`` has faults on purpose, by which the tests see that the harness would find such.

A new layer is among the nets when its class is defined.  A new reader is attacked when its name
begins with read_, load_ or open_ and its first argument is a path; if it reads none of the seeds,
a test asks for one.
"""
