"""The tree against a second implementation (pymerkle) and against every change of a proof."""

from __future__ import annotations

from hashlib import sha256

import pytest
from pymerkle import InmemoryTree

from apps.audit import merkle

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 255, 256, 257, 511, 512, 513, 700]


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"entry %d" % number) for number in range(count)]


def tree_of(hashes: list[bytes]) -> merkle.Tree:
    """A tree that reads tiles as the log stores them, up to 65,536 leaves."""

    def read(level: int, index: int, width: int) -> list[bytes]:
        rows = hashes
        for _ in range(level):
            rows = [merkle.root_of(rows[at : at + 256]) for at in range(0, len(rows) - 255, 256)]
        found = rows[index * 256 : index * 256 + width]
        assert len(found) == width > 0
        return found

    return merkle.Tree(len(hashes), read)


def test_the_empty_tree_has_the_hash_of_nothing():
    assert (
        merkle.Tree(0, lambda *_: []).root() == merkle.root_of([]) == merkle.GrowingTree().root() == sha256().digest()
    )


@pytest.mark.parametrize("size", SIZES)
def test_roots_are_those_of_another_implementation(size):
    other = InmemoryTree(algorithm="sha256")
    growing = merkle.GrowingTree()
    for number in range(size):
        other.append_entry(b"entry %d" % number)
        growing.add(merkle.leaf_hash(b"entry %d" % number))
    assert tree_of(leaves(size)).root() == other.get_root() == growing.root() == merkle.root_of(leaves(size))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 257, 513])
def test_a_proof_leads_to_the_root_and_no_changed_proof_does(size):
    hashes = leaves(size)
    tree = tree_of(hashes)
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        proof = tree.inclusion_proof(index)
        assert merkle.root_from_inclusion(hashes[index], index, size, proof) == tree.root()
        for changed in [
            *([*proof[:at], b"x" * 32, *proof[at + 1 :]] for at in range(len(proof))),
            proof[:-1],
            [*proof, b"x" * 32],
        ]:
            if changed != proof:
                assert merkle.root_from_inclusion(hashes[index], index, size, changed) != tree.root()
        other = index + 1 if index + 1 < size else 0
        if other != index:
            assert merkle.root_from_inclusion(hashes[index], other, size, proof) != tree.root()


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_a_place_outside_the_tree_has_no_proof(index):
    assert merkle.root_from_inclusion(leaves(5)[0], index, 5, []) is None
    assert merkle.root_from_inclusion(leaves(1)[0], 1, 1, []) is None
    with pytest.raises(IndexError):
        tree_of(leaves(5)).inclusion_proof(index)


def test_every_smaller_tree_is_a_beginning_of_a_larger_one():
    hashes = leaves(20)
    roots = [merkle.root_of(hashes[:size]) for size in range(21)]
    for size in range(1, 21):
        for old in range(1, size + 1):
            proof = tree_of(hashes[:size]).consistency_proof(old)
            assert merkle.verify_consistency(old, size, proof, roots[old], roots[size])
            assert not merkle.verify_consistency(old, size, proof, roots[old - 1], roots[size])
            assert not merkle.verify_consistency(old, size, proof, roots[old], roots[size - 1])
            assert not merkle.verify_consistency(old, size, [*proof, roots[1]], roots[old], roots[size])
            for at in range(len(proof)):
                changed = [*proof[:at], b"x" * 32, *proof[at + 1 :]]
                assert not merkle.verify_consistency(old, size, changed, roots[old], roots[size])
            if proof:
                assert not merkle.verify_consistency(old, size, proof[:-1], roots[old], roots[size])
                assert not merkle.verify_consistency(old, size, [], roots[old], roots[size])


@pytest.mark.parametrize("old", [0, 6])
def test_no_tree_is_a_beginning_of_a_smaller_one(old):
    assert not merkle.verify_consistency(old, 5, [], b"", b"")
    with pytest.raises(IndexError):
        tree_of(leaves(5)).consistency_proof(old)


def test_a_tile_is_as_wide_as_the_log_has_come():
    assert [merkle.tile_width(70_000, 0, index) for index in (272, 273, 274)] == [
        256,
        112,
        0,
    ]  # the example of tlog-tiles
    assert [merkle.tile_width(70_000, 1, index) for index in (0, 1)] == [256, 17]
    assert merkle.tile_width(70_000, 2, 0) == 1


def test_one_proof_of_a_long_log_reads_few_tiles():
    read = []

    def tile(level: int, index: int, width: int) -> list[bytes]:
        read.append((level, index))
        return [b"h" * 32] * width

    merkle.Tree(10_000_000, tile).inclusion_proof(1_234_567)
    assert len(set(read)) == len(read) <= 6
