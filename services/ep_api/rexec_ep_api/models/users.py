"""What requests and answers about users hold."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

# NUL is in no name, and PostgreSQL cannot keep it.
_Notes = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
_Account = Annotated[str, StringConstraints(min_length=1, max_length=500)]
_Password = Annotated[SecretStr, Field(min_length=1, max_length=4096)]


class LoginRequest(BaseModel):
    """Somebody's name and password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "ann", "password": "correct horse"}]}
    )

    username: _Account = Field(description="Name of the account.")
    password: _Password = Field(description="Its password; it is passed on and kept nowhere.")


class LoginForm(LoginRequest):
    """The same as a form, as OAuth 2 has it."""

    model_config = ConfigDict(extra="ignore")


class LoginAnswer(BaseModel):
    """What the identity service gives, unchanged."""

    model_config = ConfigDict(extra="allow")

    access_token: str = Field(description="The bearer token.")


class UserInfo(BaseModel):
    """What is known of somebody: what the identity service tells, and what it means here."""

    model_config = ConfigDict(extra="allow")

    sub: str = Field(description="What tells this user from all others.")
    ndp_user_id: str = Field(description="What stands for this user in the catalog.")
    effective_role: str = Field(description="admin, writer, viewer or none: at this endpoint.")


RequestStatus = Literal["pending", "approved", "rejected"]
GrantType = Literal["viewer", "writer", "admin", "member"]


class AccessRequestBody(BaseModel):
    """Why somebody asks for access."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"justification": "I register the gauges of our lab."}]}
    )

    justification: _Notes | None = Field(default=None, description="Why.")


class Approval(BaseModel):
    """What somebody is given who asked for access."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"grant_type": "writer", "notes": "Welcome."}]}
    )

    grant_type: GrantType = Field(description="What they become; a member can read.")
    notes: _Notes | None = Field(default=None, description="What to tell them.")


class Rejection(BaseModel):
    """Why somebody is not given access."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"notes": "Ask your lab first."}]})

    notes: _Notes | None = Field(default=None, description="What to tell them.")


class AccessRequest(BaseModel):
    """That somebody asked for access, and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="Its identifier.")
    user_sub: str = Field(description="Who asked.")
    username: str = Field(description="What they are called.")
    email: str | None = Field(default=None, description="Where they can be reached.")
    status: RequestStatus = Field(description="What became of it.")
    justification: str | None = Field(default=None, description="Why they asked.")
    created_at: datetime = Field(description="When they asked.")
    decided_at: datetime | None = Field(default=None, description="When it was decided.")
    decided_by_sub: str | None = Field(default=None, description="Who decided.")
    decided_by_username: str | None = Field(default=None, description="What they are called.")
    grant_type: GrantType | None = Field(default=None, description="What was given.")
    decision_notes: str | None = Field(default=None, description="What was said about it.")
