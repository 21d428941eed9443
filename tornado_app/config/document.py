"""docs/settings.md, made from the declarations: `python -m tornado_app.config > docs/settings.md`."""

from __future__ import annotations

from tornado_app.config.configuration import Config
from tornado_app.config.declaration import Setting
from tornado_app.config.settings import SETTINGS
from tornado_app.core.policies import DEFAULT_ACTIONS, MAX_CLOCK_SKEW, MAX_IDEMPOTENCY_HISTORY, PROOF_LEEWAY

_INTRODUCTION = """# Settings

<!-- Made by `python -m tornado_app.config > docs/settings.md`; a test holds it against the code. -->

Every setting can be given in four places. The first that has it counts:

1. a **flag**: `leaderboard serve --rate-limit 20/60s`
2. an **environment variable**: `LEADERBOARD_RATE_LIMIT=20/60s`
3. a key of a **YAML file**, which `--config FILE` or `LEADERBOARD_CONFIG` names: `rate_limit: 20/60s`
4. its **default**

Everything is checked before anything starts, and all faults are listed at once, each with the place it comes from. A
key or a `LEADERBOARD_` variable that names no setting is a fault too: a mistyped name does not pass in silence.
`leaderboard check-config` takes the same flags and prints what is in force and where each value comes from.

- **Durations** are `100ms`, `60s`, `1m`, `2h`, or a bare number of seconds.
- **Rates** are updates per window: `10/60s`, `10/m`, `100/1h`. Windows slide.
- **Paths** that are relative start at the working directory, in the file too.
- **Nothing** is not a value: to have the default, leave the setting out. Only lists may be
  empty.
- In the YAML file, text that looks like a number goes in quotes, and no key may stand twice.
- Kubernetes makes variables such as `LEADERBOARD_PORT=tcp://10.0.0.7:80` for a Service named `leaderboard`. They are
  told from settings by their form and left alone; `enableServiceLinks: false` on the pod keeps them away.
"""

_SECRETS = """## Secrets

`jwt_key`, `proof_key`, `captcha_secret` and `mongodb_uri` are secret: no log, no fault and no output of `check-config`
shows them (of a URI, the hosts are shown). Each has a twin, such as `jwt_key_file`, that names a file, such as a
mounted Kubernetes or Docker secret; set one or the other. Files of keys and of JWK Sets are read again when they
change, so that a key can be replaced without a restart.

The first three are no flags, since every user of a machine can read the flags of its processes. `--mongodb-uri` is one,
for a database without a password; a URI with a password belongs into the variable or the file.

With the embedded database and no key, the service makes one for tokens, `jwt.key` in `data_dir`, and one for action
proofs, `proof.key`, both readable by their owner only; `leaderboard token` and `leaderboard sign-action` sign with
them. With a MongoDB of your own, or with RS256 or ES256, a key must be set.

Give tokens and action proofs keys of their own: a key that is used for both is a fault.
[Signing actions](signing.md) says what a game server does with its key.
"""

_PROVIDERS = """### Keys of an identity provider

`jwt_jwks_url` is where the provider publishes its keys, `jwks_uri` in its
`/.well-known/openid-configuration`. The keys are fetched when the service starts and then for as long as the answer's
`Cache-Control: max-age` says, 5 minutes at least and a day at most (15 minutes where it says nothing). A token that
names a key id that is not known yet causes one fetch, unless the last one is less than a minute ago; so a new key is in
use at the first token that is signed with it, or a minute later at most, without a restart. Providers publish a key
well before they sign with it.

While the provider does not answer, or answers with something else than keys, the last good keys go on: a line of the
log says so, `leaderboard_jwks_refreshes_total{result="failed"}` counts, and `leaderboard_jwks_age_seconds` grows. A
service that starts meanwhile accepts no token until it has the keys, which it asks for every few seconds.

A key that cannot be used (for encryption, for another algorithm, a private key) is skipped, and logged once with its
`kid` and the reason. Shared secrets (`oct`) in a set that comes by URL are skipped too: a secret that was published is
none. A set in a file may hold some. [Tokens](tokens.md) has the settings for each identity provider.
"""

_URI = """### Options of `mongodb_uri`

The service does not use an option of the URI that would weaken a promise. It logs each one at its start, with what it
does instead:

- `readPreference`, `readPreferenceTags`, `maxStalenessSeconds`, `readConcernLevel`: every read and every change stream
  uses the primary, at read concern `majority`.
- `w`, `journal`, `fsync`: a majority of the members acknowledges and journals every write.
- `retryWrites`, `retryReads`: the driver repeats an operation that a failover interrupted.
- `timeoutMS`, `socketTimeoutMS`, `waitQueueTimeoutMS`, `connectTimeoutMS`, `serverSelectionTimeoutMS`, `wTimeoutMS`:
  `mongodb_timeout` bounds every operation.
- `tz_aware`, `datetime_conversion`, `unicode_decode_error_handler`, `uuidRepresentation`: the service decodes every
  document in the same way.

A `maxPoolSize` below 10 is a fault: a process uses several connections at the same time. 0 is no limit, and the default
is 100. `directConnection=true` on a set of several members, `tlsInsecure`, `tlsAllowInvalidCertificates` and
`tlsAllowInvalidHostnames` are used as given, and the log names the risk. Every other option has its usual meaning.
"""

_REST = """| Variable | Meaning |
|---|---|
| `NO_COLOR` | Set to anything, it keeps logs on a terminal free of colours ([no-color.org](https://no-color.org)). |
"""


def render() -> str:
    """The whole page, as Markdown."""
    parts = [_INTRODUCTION]
    for group in dict.fromkeys(setting.declared.group for setting in SETTINGS):
        rows = [_row(setting) for setting in SETTINGS if setting.declared.group == group]
        parts.append(
            "\n".join(
                [f"## {group}", "", "| Setting | Flag, variable | Default | Meaning |", "|---|---|---|---|", *rows, ""]
            )
        )
        parts += {"Database": [_URI], "Tokens": [_PROVIDERS, _SECRETS], "Rules": [_memory(), _actions()]}.get(group, [])
    parts.append(f"## Other variables\n\n{_REST}")
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    declared = setting.declared
    names = [f"`{setting.flag}`"] if declared.flag else []
    default = "none" if setting.default is None else f"`{setting.show(setting.default)}`"
    if setting.default == ():
        default = "empty"
    notes = [_escaped(declared.doc), _sentence(declared.kind.what), "Secret." if declared.secret else ""]
    cells = [f"`{setting.name}`", "<br>".join([*names, f"`{setting.variable}`"]), default]
    return f"| {' | '.join([*cells, ' '.join(filter(None, notes))])} |"


def _sentence(what: str) -> str:
    return _escaped(f"{what[0].upper()}{what[1:]}.")


def _escaped(text: str) -> str:
    """`text` in a cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "\\<")


def _memory() -> str:
    config = Config()
    limit, kept = config.rate_limit, config.write_policy.idempotency_history_size
    leeway, most = PROOF_LEEWAY + MAX_CLOCK_SKEW, MAX_IDEMPOTENCY_HISTORY
    minutes = kept // limit.updates * limit.window / 60
    return f"""### How long an action's id is remembered

A player's document holds the ids of the last accepted actions, so that an id that comes again adds nothing. How many is
derived from two settings: `remember = updates × windows`, with the updates and the window of `rate_limit`, and
`windows = ⌈(proof_lifetime + {leeway:.0f} s) ÷ window⌉`, but two at least. No more than `updates` are accepted in any
window, so an id is remembered for that many windows at least. That is longer than an action proof can be accepted:
{PROOF_LEEWAY:.0f} s are how far a game server's clock may be ahead, {MAX_CLOCK_SKEW:.0f} s how far the clocks of the
service's own processes may differ. By default that is {kept} ids and **at least {minutes:.0f} minutes**, longer for
a player who scores more seldom. Within that time a client may safely repeat a request with the same id. The service
itself repeats an update whose answer was lost, for up to `mongodb_timeout`: one that is longer than that memory less
{MAX_CLOCK_SKEW:.0f} s is a fault.

Each id is paid for in every write of that player, about 85 bytes in the document. At most {most} may be
remembered; settings that ask for more are a fault, which names the largest values that fit.
"""


def _actions() -> str:
    rows = "\n".join(f"{name}: {points}" for name, points in DEFAULT_ACTIONS.items())
    return f"""### The table of actions

`actions_file` names a YAML file with the points of each action type. A type is 1 to 64 of `A-Z a-z 0-9 _ . -`, points
are a whole number of 1 or more. Without a file, the table is

```yaml
{rows}
```
"""
