"""How much of anything one file may contain. A limit that is passed is named to the person, never passed over."""

MIB = 1024 * 1024

CHUNK_BYTES = 256 * 1024  # read at a time; several fit into a processor's cache

# One conversation is held in memory as a whole. The longest that heavy users export is about 20 MiB.
MAX_CONVERSATION_BYTES = 64 * MIB
# A JSON value costs up to 75 bytes in memory for two in the file; a message has about 40, so this is 50,000 messages.
MAX_VALUES = 2_000_000
# Messages nest about 12 deep. orjson writes at most 254 levels, and what is stored adds some of its own.
MAX_DEPTH = 100
# LibreChat can nest each message in the one it answers, two levels each. orjson reads 1,024 levels.
MAX_FILE_DEPTH = 1_000
# The survey of a file remembers about 150 bytes for each conversation. The largest exports known have about 20,000.
MAX_CONVERSATIONS = 300_000
# Parts of one conversation that lie apart are held together in memory while they are merged.
MAX_MERGE_BYTES = 64 * MIB
# A file of another kind would otherwise fill the report with its pieces; further ones are counted, not listed.
MAX_SKIPPED = 1_000
MAX_UNKNOWN = 100_000  # then it is a file of another kind, and reading it to the end helps nobody
# Text and tables without conversations of their own are cut into parts of this many messages.
MAX_MESSAGES_PER_PART = 10_000
MAX_ATTACHMENTS_PER_PART = 500
MAX_NAME_LENGTH = 200  # of a file name or a title that is shown
MAX_ROLE_LENGTH = 32

# ZIP. An export with pictures is some GB; deflate reaches 1,032:1 only on bombs, JSON rarely 60:1.
MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 32 * MIB
MAX_UNPACKED_BYTES = 16 * 1024 * MIB
MAX_RATIO = 300
RATIO_FREE_BYTES = 4 * MIB  # small entries may be as repetitive as they like

# The kind of a file is decided by its first bytes.
HEAD_BYTES = 64 * 1024
MAX_IMAGE_BYTES = 512 * MIB
MAX_PASTE_CHARACTERS = 10_000_000
