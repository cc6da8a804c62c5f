//! Identity: from the names that a source uses to one customer.
//!
//! The store looks the identifiers up inside the transaction that appends the interaction, so that two nodes that see a
//! new customer at the same time make one customer, not two. What to do with what it found is decided here.

use regard_model::{CustomerId, Invalid};

/// What to do about the customer of one interaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// This customer; identifiers that nobody owns are linked to it.
    Known(CustomerId),
    /// Nobody owns any of the identifiers: make a customer who does.
    Create,
    /// No customer and no identifier were given.
    Anonymous,
}

/// Who an identifier belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The customer that it was linked to first; interactions are recorded under this one, so that undoing a merge
    /// gives each customer back its own.
    pub recorded: CustomerId,
    /// The customer that this one is read as after merges.
    pub root: CustomerId,
}

/// Decides from the customer that the caller named (already looked up) and the owners of the given identifiers, in the
/// order given, `None` for one that nobody owns.
///
/// Identifiers of two different customers are refused: which of the two is meant, or whether they are one, is for the
/// matching and a person to say, not for a single message.
pub fn resolve(named: Option<Owner>, owners: &[Option<Owner>]) -> Result<Resolution, Invalid> {
    let mut chosen = named;
    for owner in owners.iter().flatten() {
        match chosen {
            None => chosen = Some(*owner),
            Some(first) if first.root == owner.root => {}
            Some(first) => {
                return Err(Invalid::new(
                    "identifier",
                    format!(
                        "belongs to {}, not to {}: leave one of them out, or merge the two customers first",
                        owner.root, first.root
                    ),
                ));
            }
        }
    }
    Ok(match chosen {
        Some(owner) => Resolution::Known(owner.recorded),
        None if owners.is_empty() => Resolution::Anonymous,
        None => Resolution::Create,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(recorded: i64, root: i64) -> Owner {
        Owner { recorded: CustomerId::from_i64(recorded), root: CustomerId::from_i64(root) }
    }

    #[test]
    fn the_first_known_identifier_decides() {
        assert_eq!(resolve(None, &[]), Ok(Resolution::Anonymous));
        assert_eq!(resolve(None, &[None, None]), Ok(Resolution::Create));
        assert_eq!(resolve(None, &[None, Some(owner(7, 7))]), Ok(Resolution::Known(CustomerId::from_i64(7))));
        assert_eq!(resolve(Some(owner(7, 7)), &[None]), Ok(Resolution::Known(CustomerId::from_i64(7))));
    }

    #[test]
    fn merged_customers_agree_and_others_do_not() {
        assert_eq!(
            resolve(Some(owner(7, 9)), &[Some(owner(8, 9))]),
            Ok(Resolution::Known(CustomerId::from_i64(7)))
        );
        assert!(resolve(Some(owner(7, 7)), &[Some(owner(8, 8))]).is_err());
        assert!(resolve(None, &[Some(owner(7, 7)), Some(owner(8, 8))]).is_err());
    }
}
