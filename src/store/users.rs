//! Users: made by their first token, kept up to date by newer ones, and set by the admin side, which always wins.

use super::Store;
use super::access::append;
use super::database::Connection;
use super::rows::{self, user_columns};
use super::writer::Turn;
use crate::error::{Error, Result};
use crate::model::{AccessChange, Caller, Set, Timestamp, User, UserId, UserPatch, UserRole};

const USER: &str = concat!("select ", user_columns!(), r#" from "user" u where u.id = $1"#);
/// A user by id and name only, for whom no token came yet.
const STUB: &str =
    r#"insert into "user" (id, name, role, created_at) values ($1, $2, 'CUSTOMER', $3) on conflict (id) do nothing"#;

impl Store {
    /// The user, if there is one.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>> {
        find(&mut self.database.reading().await?, id).await
    }

    /// The user, made from what their token says if this is the first time they come.
    pub async fn ensure_user(&self, caller: &Caller) -> Result<User> {
        if let Some(user) = self.user(&caller.id).await? {
            return Ok(user);
        }
        let new = caller.clone();
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    insert_stub(tx, &new.id, new.claims.name.as_deref()).await?;
                    claim(tx, &new).await?;
                    known(tx, &new.id).await
                })
            })
            .await
    }

    /// Takes over what a newer token says, where the admin side has not set it; what changed is told to every instance
    /// until then.
    pub async fn take_claims(&self, caller: &Caller, until: Timestamp) -> Result<User> {
        let caller = caller.clone();
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    if claim(tx, &caller).await? {
                        append(tx, &AccessChange::User(caller.id.clone()), until).await?;
                    }
                    known(tx, &caller.id).await
                })
            })
            .await
    }

    /// Sets what the admin side says of a user, who need not be known yet. The same again changes nothing.
    pub async fn set_user(&self, id: &UserId, patch: UserPatch, until: Timestamp) -> Result<User> {
        let id = id.clone();
        self.writer
            .run(Turn::Free, move |tx| {
                Box::pin(async move {
                    insert_stub(tx, &id, None).await?;
                    if set(tx, &id, &patch).await? {
                        append(tx, &AccessChange::User(id.clone()), until).await?;
                    }
                    known(tx, &id).await
                })
            })
            .await
    }
}

async fn find(connection: &mut Connection, id: &UserId) -> Result<Option<User>> {
    let row = connection.query(USER).bind(id.as_str()).fetch_optional().await?;
    row.map(|row| rows::user(&row)).transpose()
}

async fn known(tx: &mut Connection, id: &UserId) -> Result<User> {
    find(tx, id).await?.ok_or_else(|| Error::UserNotFound(id.to_string()))
}

/// Makes a user of whom nothing but a name is known yet, if they are not there.
pub(super) async fn insert_stub(tx: &mut Connection, id: &UserId, name: Option<&str>) -> Result<()> {
    let name = name.unwrap_or(id.as_str());
    tx.query(STUB).bind(id.as_str()).bind(name).bind(Timestamp::now().0).execute().await.map(drop)
}

/// Returns whether anything changed. A token as old as the one before, or older, says nothing; the very first one
/// counts even if it does not say when it was issued.
async fn claim(tx: &mut Connection, caller: &Caller) -> Result<bool> {
    const CLAIM: &str = r#"update "user" set
            name = case when name_set then name else coalesce($2, name) end,
            avatar_url = case when avatar_set then avatar_url else coalesce($3, avatar_url) end,
            role = case when role_set then role else coalesce($4, role) end,
            partner_id = case when partner_set or $5 = 0 then partner_id else $6 end,
            partner_status = case when partner_set or $5 = 0 then partner_status else $7 end,
            claims_at = $8
        where id = $1 and claims_at < $8"#;
    let partner = caller.claims.partner.as_ref();
    let says_partner = i64::from(partner.is_some());
    let partner = partner.and_then(Option::as_ref);
    let changed = tx
        .query(CLAIM)
        .bind(caller.id.as_str())
        .bind(caller.claims.name.as_deref())
        .bind(caller.claims.picture.as_deref())
        .bind(caller.claims.role.map(UserRole::as_str))
        .bind(says_partner)
        .bind(partner.map(|partner| partner.id.as_str()))
        .bind(partner.map(|partner| partner.status.as_str()))
        .bind(caller.credential.claims_at().0)
        .execute()
        .await?;
    Ok(changed > 0)
}

/// Returns whether anything changed.
async fn set(tx: &mut Connection, id: &UserId, patch: &UserPatch) -> Result<bool> {
    const SET: &str = r#"update "user" set name = $2, avatar_url = $3, role = $4, partner_id = $5, partner_status = $6,
            name_set = $7, avatar_set = $8, role_set = $9, partner_set = $10, claims_at = $11
        where id = $1"#;
    // Nobody changes it between the reading and the writing.
    tx.query(r#"update "user" set name = name where id = $1"#).bind(id.as_str()).execute().await?;
    let old = known(tx, id).await?;
    let mut new = old.clone();
    let given = (patch.name.is_some(), patch.avatar_url.is_some(), patch.role.is_some(), patch.partner.is_some());
    new.set.name = given.0 || (old.set.name && !patch.release.name);
    new.set.avatar = given.1 || (old.set.avatar && !patch.release.avatar);
    new.set.role = given.2 || (old.set.role && !patch.release.role);
    new.set.partner = given.3 || (old.set.partner && !patch.release.partner);
    if new.set != old.set && patch.release != Set::default() {
        // Whatever token comes next counts.
        new.claims_at = Timestamp(0);
    }
    new.name = patch.name.clone().unwrap_or(new.name);
    new.avatar_url = patch.avatar_url.clone().unwrap_or(new.avatar_url);
    new.role = patch.role.unwrap_or(new.role);
    new.partner = patch.partner.clone().unwrap_or(new.partner);
    if new == old {
        return Ok(false);
    }
    tx.query(SET)
        .bind(id.as_str())
        .bind(&new.name)
        .bind(new.avatar_url.as_deref())
        .bind(new.role.as_str())
        .bind(new.partner.as_ref().map(|partner| partner.id.as_str()))
        .bind(new.partner.as_ref().map(|partner| partner.status.as_str()))
        .bind(new.set.name)
        .bind(new.set.avatar)
        .bind(new.set.role)
        .bind(new.set.partner)
        .bind(new.claims_at.0)
        .execute()
        .await?;
    Ok(true)
}
