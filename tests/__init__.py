"""The tests of mpbuild; they import only ``tests.making`` from here."""
