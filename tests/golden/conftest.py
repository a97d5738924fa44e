"""The scripts here need other versions of Keras: no doctests are looked for in them."""

collect_ignore = ["make_golden.py", "make_keras2.py", "make_keras3.py"]
