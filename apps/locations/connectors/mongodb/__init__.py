"""MongoDB: collections and GridFS buckets, by pymongo.

A collection knows the person by a field (a dotted path), or by belonging to a document of another collection. A document
that names several people is not erased for one of them: a person has to look.

Tried against a strict stand-in that speaks MongoDB's wire protocol over TCP (tests/mongodb.py): no MongoDB server is among
the packages that the tests install.
"""
