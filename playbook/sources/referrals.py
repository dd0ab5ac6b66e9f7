"""Invitations of a referral app: the reports on referral activity and on rewards of SaaSquatch
(impact.com Advocate).

Layouts: the sample reports of the app's documentation (data/samples/README.md). Times are
milliseconds since 1970. The report on rewards fills the reward of an invitation that the report
on activity tells; only rewards of the inviter in CENTS are read as money, for the reports do not
say in which part of their unit the others are counted.
"""

from __future__ import annotations

from playbook.sources.adapter import Adapter, Delivery


def _moment(d: Delivery, name: str) -> str:
    return f"epoch_ms(TRY_CAST({d.id(name)} AS BIGINT))"


def shape_activity(d: Delivery) -> None:
    """One row per referral: begun, and where it was converted the first order's moment."""
    d.require("invitation_id", "begun", when="true")
    d.emit(
        "invitations",
        f"""SELECT {d.id("invitation_id")} AS invitation_id, {_moment(d, "begun")} AS invited_at,
                   {d.contact("inviter")} AS inviter_id, {_moment(d, "begun")} AS accepted_at,
                   {d.contact("friend")} AS customer_id, {_moment(d, "converted")} AS ordered_at
            FROM raw""",
    )


def shape_rewards(d: Delivery) -> None:
    """One row per referral that a reward of the inviter names, its rewards summed."""
    money = f"""CASE WHEN upper({d.word("source")}) = 'FRIEND_SIGNUP' AND upper({d.word("unit")}) = 'CENTS'
        AND coalesce({d.word("cancelled")}, '') = '' THEN {d.money("value")} / 100 END"""
    d.emit(
        "invitations",
        f"""SELECT {d.id("invitation_id")} AS invitation_id, min({_moment(d, "begun")}) AS invited_at,
                   any_value({d.contact("inviter")}) AS inviter_id,
                   any_value({d.contact("friend")}) AS customer_id,
                   min({_moment(d, "converted")}) AS ordered_at,
                   CAST(sum({money}) AS DECIMAL(18,6)) AS reward
            FROM raw WHERE {d.id("invitation_id")} <> '' AND {_moment(d, "begun")} IS NOT NULL
            GROUP BY {d.id("invitation_id")}""",
    )


ADAPTERS = (
    Adapter(
        kind="saasquatch-referrals",
        title="SaaSquatch › Reports › Referral activity",
        gives=("invitations",),
        columns="""
            invitation_id! id | id
            begun! id | dateReferralStarted
            converted! id | dateConverted
            inviter contact | referrerUserEmail
            friend contact | referredUserEmail
        """,
        ignored="""dateModified | dateUserModified | programId | programName | referredUserReferralCode | referredUserLocale
            | referredUserDateCreated | referrerUserReferralCode | referrerUserLocale | referrerUserDateCreated
            | moderationStatus | dateModerated | dateReferralPaid | dateReferralEnded | referredModerationStatus
            | referrerModerationStatus | referredReward | referrerReward""",
        personal="""referredUserFirstName | referredUserLastName | referredUserFirstSeenIP | referredUserLastSeenIP
            | referredUserImageUrl | referredUser | referredAccount | referrerUserFirstName | referrerUserLastName
            | referrerUserFirstSeenIP | referrerUserLastSeenIP | referrerUserImageUrl | referrerUser | referrerAccount""",
        shape=shape_activity,
        signature="dateReferralStarted",
    ),
    Adapter(
        kind="saasquatch-rewards",
        title="SaaSquatch › Reports › Reward details",
        gives=("invitations",),
        columns="""
            invitation_id! id | referral.id
            begun! id | referral.dateReferralStarted
            value! money | value
            unit! word | unit
            source! word | rewardSource
            converted id | referral.dateConverted
            cancelled word | dateCancelled
            inviter contact | referral.referrerUser.email
            friend contact | referral.referredUser.email
        """,
        ignored="""id | type | name | dateCreated | dateScheduledFor | dateGiven | dateExpires | dateRedeemed | dateModified
            | fuelTankType | fuelTankCode | programId | programRewardKey | globalRewardKey | assignedCredit | redeemedCredit
            | availableValue | statuses | meta.status | meta.message | meta.internalMessage | meta.dateModified
            | referral.dateModified | referral.referralCodeUsed | meta.customMeta.testMeta""",
        personal="""user.id | user.accountId | user.firstName | user.lastName | user.email | referral.referredUser.id
            | referral.referredUser.accountId | referral.referredUser.firstName | referral.referredUser.lastName
            | referral.referrerUser.id | referral.referrerUser.accountId | referral.referrerUser.firstName
            | referral.referrerUser.lastName""",
        shape=shape_rewards,
        signature="rewardSource",
    ),
)
