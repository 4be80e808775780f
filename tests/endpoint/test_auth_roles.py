"""The group gate and the tiers of roles: every combination that the contract names."""

import itertools

import pytest

from rexec_jupyter.auth.errors import ForbiddenError
from rexec_jupyter.auth.roles import Access
from tests.endpoint.authentication import settings, somebody

EP = "5f0c"

# Which tier each role gives at an endpoint with GROUP_NAMES=/ndp_ep/ep-1,Lab and this UUID.
TIERS = {
    "ndp_admin": "admin",
    "NDP_Admin": "admin",
    " ndp_admin ": "admin",
    "group:/ndp_ep/ep-1:admin": "admin",
    "group:ndp_ep/ep-1:admin": "admin",
    "group:ndp_ep/ep-1/:ADMIN": "admin",
    "GROUP:NDP_EP/EP-1:admin": "admin",
    "group:lab:admin": "admin",
    f"group:{EP}:admin": "admin",
    f"group:ndp_ep/{EP}:admin": "admin",
    f"group:/ndp_ep/ep-{EP}:admin": "admin",
    f"{EP}_admin": "admin",
    f"{EP.upper()}_ADMIN": "admin",
    "ndp_writer": "writer",
    "ndp_editor": "writer",
    "Ndp_Editor": "writer",
    "group:ndp_ep/ep-1:writer": "writer",
    "group:/ndp_ep/ep-1:editor": "writer",
    f"group:{EP}:editor": "writer",
    f"group:ndp_ep/{EP}:writer": "writer",
    f"group:ndp_ep/ep-{EP}:writer": "writer",
    "ndp_viewer": "viewer",
    "group:ndp_ep/ep-1:viewer": "viewer",
    "group:LAB:viewer": "viewer",
    f"group:{EP}:viewer": "viewer",
    # Nothing of these is a role here.
    "": "none",
    "admin": "none",
    "writer": "none",
    "ndp_admins": "none",
    "xndp_admin": "none",
    "/ndp_admin/": "none",
    "_admin": "none",
    "other_admin": "none",
    "group:other:admin": "none",
    "group::admin": "none",
    "group:/:admin": "none",
    "group:admin": "none",
    "group:": "none",
    "group": "none",
    "ndp_ep/ep-1:admin": "none",
    "group:ndp_ep/ep-1": "none",
    "group:ndp_ep/ep-1:": "none",
    "group:ndp_ep/ep-1:owner": "none",
    "group:ndp_ep/ep-1:admin:": "none",
    "group:ndp_ep:admin": "none",
    "group:ep-1:admin": "none",
    "group:ndp_ep/ep-1/sub:admin": "none",
    "group:ndp_ep/ep-lab:admin": "none",
    f"group:other/{EP}:admin": "none",
}
RANKS = ("none", "viewer", "writer", "admin")


def access(*, gate, groups="/ndp_ep/ep-1,Lab", endpoint=EP):
    return Access(
        settings(enable_group_based_access=gate, group_names=groups, affinities_ep_uuid=endpoint)
    )


def passes(check, identity):
    try:
        check(identity)
    except ForbiddenError:
        return False
    return True


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize(("role", "tier"), TIERS.items())
def test_each_role_gives_its_tier_whether_the_gate_is_on_or_off(role, tier, gate):
    rules = access(gate=gate)
    identity = somebody(roles=[role], groups=["Lab"])
    assert rules.effective_role(identity) == tier
    assert passes(rules.admin, identity) == (tier == "admin")
    assert passes(rules.writer, identity) == (tier in ("admin", "writer"))
    assert rules.may_write(identity) == (tier in ("admin", "writer"))


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(sorted(TIERS)[::3], 2)))
def test_of_several_roles_the_highest_counts(first, second):
    higher = max(TIERS[first], TIERS[second], key=RANKS.index)
    assert access(gate=False).effective_role(somebody(roles=[first, second])) == higher


def test_without_roles_there_is_no_tier():
    assert access(gate=False).effective_role(somebody()) == "none"


def test_an_endpoint_without_a_name_has_no_role_by_an_empty_name():
    rules = access(gate=True, groups="", endpoint="")
    for role in ("_admin", "group::admin", "group:/:admin", "group:ndp_ep/:admin", "group: :admin"):
        assert rules.effective_role(somebody(roles=[role])) == "none"
    assert not passes(rules.entered, somebody(groups=["", "/", " "]))


def test_an_endpoint_that_is_named_by_a_path_has_only_that():
    rules = access(gate=False, groups="", endpoint="/ndp_ep/ep-9")
    assert rules.effective_role(somebody(roles=["group:ndp_ep/ep-9:writer"])) == "writer"
    assert rules.effective_role(somebody(roles=["group:ndp_ep/ndp_ep/ep-9:writer"])) == "none"


@pytest.mark.parametrize(
    ("roles", "groups", "let_in"),
    [
        (["ndp_admin"], [], True),
        ([" NDP_ADMIN"], [], True),
        ([], ["/ndp_ep/ep-1"], True),
        ([], ["ndp_ep/ep-1"], True),
        ([], ["/NDP_EP/EP-1/"], True),
        ([], [" lab "], True),
        ([], [EP], True),
        ([], [f"/{EP.upper()}"], True),
        ([], ["elsewhere", "lab"], True),
        ([], [], False),
        ([], ["elsewhere"], False),
        ([], ["ndp_ep"], False),
        ([], ["ep-1"], False),
        ([], ["ndp_ep/ep-1/sub"], False),
        ([], ["ndp_ep/ep-11"], False),
        ([], [f"ndp_ep/{EP}"], False),
        ([], [""], False),
        (["ndp_writer"], [], False),
        (["group:lab:admin"], [], False),
        ([f"{EP}_admin"], [], False),
        (["/ndp_admin"], [], False),
    ],
)
def test_the_gate_lets_in_whom_it_should(roles, groups, let_in):
    identity = somebody(roles=roles, groups=groups)
    assert passes(access(gate=True).entered, identity) == let_in
    assert passes(access(gate=False).entered, identity)


def test_a_gate_without_groups_lets_in_administrators_and_members_of_the_endpoint_only():
    rules = access(gate=True, groups="")
    assert passes(rules.entered, somebody(roles=["ndp_admin"]))
    assert passes(rules.entered, somebody(groups=[EP]))
    assert not passes(rules.entered, somebody(groups=["lab"], roles=["ndp_writer"]))


# As observed of the service that is being replaced: (roles, groups) -> (info, rexec or write).
@pytest.mark.parametrize(
    ("roles", "groups", "enters", "writes"),
    [
        (["ndp_admin"], ["/ndp_ep/ep-1"], True, True),
        (["ndp_admin"], [], True, True),
        (["group:ndp_ep/ep-1:editor"], ["/ndp_ep/ep-1"], True, True),
        (["group:ndp_ep/ep-1:viewer"], ["/NDP_EP/ep-1"], True, False),
        (["ndp_writer"], [], False, False),
        (["ndp_writer"], ["/ndp_ep/ep-1"], True, True),
        ([], ["/ndp_ep/ep-1"], True, False),
        (["group:ndp_ep/ep-1:writer"], ["/elsewhere"], False, False),
    ],
)
def test_the_gate_wants_the_group_and_the_tier_wants_the_role(roles, groups, enters, writes):
    rules = access(gate=True, groups="/ndp_ep/ep-1", endpoint="")
    identity = somebody(roles=roles, groups=groups)
    assert passes(rules.entered, identity) == enters
    assert passes(rules.writer, identity) == writes


def test_the_texts_say_what_is_missing():
    gated, open_ = access(gate=True), access(gate=False)
    with pytest.raises(ForbiddenError, match="to access this Endpoint"):
        gated.entered(somebody())
    with pytest.raises(ForbiddenError, match="to perform this operation"):
        gated.writer(somebody(roles=["ndp_writer"]))
    with pytest.raises(ForbiddenError, match="grant you the writer or admin role"):
        open_.writer(somebody(roles=["ndp_viewer"]))
    with pytest.raises(ForbiddenError, match=r"^Administrator role required\.$"):
        open_.admin(somebody(roles=["ndp_writer"]))


def test_administrators_need_no_group():
    access(gate=True).admin(somebody(roles=["group:lab:admin"]))


# Starting servers


def test_without_the_gate_nobody_needs_a_group_to_start_a_server():
    assert access(gate=False).deploy_group(somebody(groups=["lab"])) is None


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (["elsewhere", "/LAB/"], "lab"),
        (["/ndp_ep/ep-1", "lab"], "ndp_ep/ep-1"),
        (["lab", "/ndp_ep/ep-1"], "lab"),
    ],
)
def test_a_server_is_started_as_a_member_of_the_first_group_that_is_listed(groups, found):
    assert access(gate=True).deploy_group(somebody(groups=groups)) == found


@pytest.mark.parametrize(
    ("roles", "groups"), [(["ndp_admin"], []), ([], ["elsewhere"]), ([], [EP]), ([], [])]
)
def test_neither_roles_nor_other_groups_let_anybody_start_a_server(roles, groups):
    with pytest.raises(ForbiddenError, match="not a member of an allowed group"):
        access(gate=True).deploy_group(somebody(roles=roles, groups=groups))


def test_a_gate_without_groups_lets_nobody_start_a_server():
    with pytest.raises(ForbiddenError, match="no groups are configured"):
        access(gate=True, groups="").deploy_group(somebody(groups=[EP], roles=["ndp_admin"]))


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), ("a", ("a",)), (" a , /b/ ,,", ("a", "/b/")), (("x", "y"), ("x", "y"))],
)
def test_group_names_are_separated_by_commas(text, names):
    assert settings(group_names=text).group_names == names


def test_group_names_come_from_the_environment_too(monkeypatch):
    monkeypatch.setenv("GROUP_NAMES", "/a,b")
    monkeypatch.setenv("ENABLE_GROUP_BASED_ACCESS", "True")
    found = settings()
    assert found.group_names == ("/a", "b")
    assert found.enable_group_based_access
