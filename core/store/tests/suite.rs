//! One suite, both databases: every case below runs on SQLite and on PostgreSQL.
//!
//! A case is a function that takes a [`bed::Bed`], in the file of what it is about; add one by writing it and naming
//! it here.

#[path = "suite/audit.rs"]
mod audit;
#[path = "suite/bed.rs"]
mod bed;
#[path = "suite/consents.rs"]
mod consents;
#[path = "suite/customers.rs"]
mod customers;
#[path = "suite/feed.rs"]
mod feed;
#[path = "suite/house.rs"]
mod house;
#[path = "suite/imports.rs"]
mod imports;
#[path = "suite/log.rs"]
mod log;
#[path = "suite/merges.rs"]
mod merges;
#[path = "suite/metrics.rs"]
mod metrics;
#[path = "suite/outbox.rs"]
mod outbox;
#[path = "suite/records.rs"]
mod records;
#[path = "suite/secrets.rs"]
mod secrets;
#[path = "suite/views.rs"]
mod views;

/// Makes a test of every case for every database.
macro_rules! store_suite {
    ($($file:ident { $($case:ident),* $(,)? })*) => {
        store_suite!(@on sqlite Sqlite: $($file { $($case),* })*);
        store_suite!(@on postgres Postgres: $($file { $($case),* })*);
    };
    (@on $name:ident $backend:ident: $($file:ident { $($case:ident),* })*) => {
        mod $name {
            $(mod $file {
                $(#[test]
                fn $case() -> anyhow::Result<()> {
                    crate::bed::run(crate::bed::Backend::$backend, crate::$file::$case)
                })*
            })*
        }
    };
}

store_suite! {
    customers {
        are_made_read_and_changed,
        keep_every_text_as_it_is,
        own_their_identifiers,
        are_changed_only_at_the_version_that_was_read,
        are_listed_page_by_page,
        have_relationships,
    }
    imports {
        make_and_update_by_identifier,
        commit_their_mark_with_their_rows,
        of_customers_do_what_single_calls_do,
    }
    merges {
        undone_leave_everything_as_it_was,
        fill_gaps_in_order,
        hide_what_was_removed_and_give_it_back,
        refuse_circles_and_repeats,
        in_any_order_undo_in_any_order,
    }
    consents {
        are_a_ledger_in_order,
    }
    log {
        survives_a_crash,
        takes_each_interaction_once,
        makes_a_customer_once_however_many_append,
        rejects_without_a_trace,
        links_new_identifiers_and_moves_prospects_on,
        hears_of_merges_by_others,
        is_read_newest_first_after_merges,
        recovers_from_cut_connections,
    }
    feed {
        begins_with_what_comes_next,
        narrows_and_skips,
        never_skips_while_others_append,
        commits_effects_with_progress_or_nothing,
    }
    outbox {
        enqueues_once_for_each_key,
        leases_end_and_are_found_abandoned,
        settles_with_attempt_and_receipt,
        hears_late_reports,
        is_shared_between_nodes,
    }
    metrics {
        remember_the_value_before,
        are_read_as_columns,
    }
    records {
        are_made_changed_and_deleted,
        keep_unique_values_apart,
        are_found_and_sorted_by_their_fields,
        follow_merges_and_are_given_back,
        are_effects_of_a_call,
        refuse_declarations_that_they_do_not_fit,
        are_indexed_anew_when_the_fields_change,
        outlive_their_plugin,
    }
    secrets {
        are_sealed_on_disk,
        need_the_key_they_were_sealed_with,
        of_tokens_are_not_stored,
    }
    audit {
        shows_what_was_tampered_with,
    }
    house {
        keeps_channels,
        keeps_plugins_and_scripts,
        switches_versions_with_what_they_keep,
        counts_and_lists_what_plugins_keep,
        remembers_answers_for_a_day,
        exports_everything_about_a_customer,
        counts,
    }
    views {
        have_the_same_columns_everywhere,
        show_customers_after_merges_and_instants_in_utc,
    }
}
