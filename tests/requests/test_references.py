"""References that can be read out, codes that cannot be guessed."""

import math

from apps.requests import references


def test_references_have_no_letters_that_look_alike():
    made = {references.new_reference() for _ in range(200)}
    assert len(made) == 200
    assert all(len(one) == 12 and one.startswith("HB-") for one in made)
    assert not set("01OILU") & set("".join(one[3:] for one in made))


def test_a_reference_is_found_however_it_is_typed():
    for typed in ("hb-7q4k-2m9x", " 7Q4K2M9X ", "HB 7Q4K 2M9X", "\uff28\uff22-7Q4K\u20132M9X"):
        assert references.tidy_reference(typed) == "HB-7Q4K-2M9X"
    assert references.tidy_reference("HB-7Q4K-2M9") != "HB-7Q4K-2M9X"


def test_a_code_has_more_than_128_bits_and_fits_its_hash_alone():
    code = references.new_code()
    symbols = code.replace("-", "")
    assert len(symbols) * math.log2(len(references.ALPHABET)) >= 128
    stored = references.hash_code(code)
    assert references.is_code(code.lower().replace("-", " "), stored)
    assert not references.is_code(references.new_code(), stored)
    assert not references.is_code(code, b"")
