"""What the rest of the site does with keys: the one door to apps.keys."""

from apps.keys.intents import cancel_intent, intend_destruction
from apps.keys.journal import truncate_journal
from apps.keys.kinds import KeyKind
from apps.keys.services.backing_up import Restored, back_up_keys, damaged_keys, restore_keys
from apps.keys.services.creating import NewKey, create_key, create_keys
from apps.keys.services.destroying import (
    Destruction,
    carry_out,
    destroy_keys,
    discard_key,
    erase_keys,
    purge_keys_below,
    record_destruction,
)
from apps.keys.services.ending import Ended, destroy_master_keys
from apps.keys.services.installing import installation
from apps.keys.services.naming import blind_index_key, named, named_key, site_key
from apps.keys.services.opening import open_key, open_keys
from apps.keys.services.proposing import approve_proposal, propose_destruction, propose_policy, withdraw_proposal
from apps.keys.services.replacing import Replacement, needs_replacing, replace_key
from apps.keys.services.replaying import declare_lost
from apps.keys.services.rolling import Rolled, roll_if_due, roll_master_key
from apps.keys.services.sweeping import Sweep, look_for_ownerless_keys, sweep_ownerless_keys

__all__ = [
    "Destruction",
    "Ended",
    "KeyKind",
    "NewKey",
    "Replacement",
    "Restored",
    "Rolled",
    "Sweep",
    "approve_proposal",
    "back_up_keys",
    "blind_index_key",
    "cancel_intent",
    "carry_out",
    "create_key",
    "create_keys",
    "damaged_keys",
    "declare_lost",
    "destroy_keys",
    "destroy_master_keys",
    "discard_key",
    "erase_keys",
    "installation",
    "intend_destruction",
    "look_for_ownerless_keys",
    "named",
    "named_key",
    "needs_replacing",
    "open_key",
    "open_keys",
    "propose_destruction",
    "propose_policy",
    "purge_keys_below",
    "record_destruction",
    "replace_key",
    "restore_keys",
    "roll_if_due",
    "roll_master_key",
    "site_key",
    "sweep_ownerless_keys",
    "truncate_journal",
    "withdraw_proposal",
]
