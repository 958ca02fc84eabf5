//! What every store must do, as cases that run on each of them (datastore.md section 8).
//!
//! [`kv`] is about key-value stores, [`resources`] about what lies above them. What only a server can get into, such as
//! being stopped or wanting a password, is in files of `tests`.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "tests fail by panicking, and the name of a case says what it shows"
)]
#![forbid(unsafe_code)]

pub mod fixture;
pub mod kv;
pub mod proxy;
pub mod resources;
pub mod scale;
pub mod writer;

use std::time::Duration;

pub use fixture::{EmbeddedStore, EtcdStore, Fixture};
pub use kv::{batch, committed, delete, failed, put, shown, write};

/// Long enough for any machine; every wait ends with its event.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Makes one test of each case for one store: `kv_suite!(embedded, EmbeddedStore::new())`.
#[macro_export]
macro_rules! kv_suite {
    ($store:ident, $start:expr) => {
        $crate::kv_suite!(@modules $store, $start,
            transactions: [
                a_transaction_is_one_revision_and_all_or_nothing,
                a_key_that_comes_back_begins_anew,
                deleting_nothing_moves_nothing,
                a_key_twice_in_one_transaction_is_refused,
                the_first_compare_that_fails_is_named_with_what_its_key_holds,
                an_update_of_what_somebody_else_changed_is_a_conflict,
                what_was_there_before_is_told,
                puts_of_a_prefix_since_a_revision_are_noticed,
                any_bytes_are_kept,
                a_value_of_a_mebibyte_is_kept,
                a_transaction_of_120_operations_is_one_revision,
                no_update_is_lost_among_threads,
                several_processes_write_at_once_and_a_watcher_sees_every_revision_once,
            ]
            ranges: [
                a_range_ends_at_its_prefix,
                the_empty_prefix_is_everything,
                a_list_of_five_thousand_keys_is_in_order_and_whole,
                more_spans_than_one_request_takes_are_one_snapshot,
                nobody_reads_half_a_transaction,
                every_handle_names_the_same_store,
                what_was_written_at_a_revision_is_read_while_history_is_kept,
            ]
            watches: [
                each_revision_comes_once_in_order_with_what_was_there_before,
                a_future_revision_is_waited_for,
                several_prefixes_are_one_stream,
                prefixes_within_each_other_deliver_once,
                progress_is_told_when_others_change,
                a_compacted_revision_is_told,
                a_sink_that_has_enough_is_called_no_more,
                a_slow_reader_misses_nothing,
                a_long_history_comes_whole,
                a_large_revision_is_one_batch,
            ]
            ttl: [
                a_key_whose_time_runs_out_is_deleted_with_a_revision_of_its_own,
                a_put_without_a_time_makes_a_key_stay,
            ]
            newest: [
                a_store_without_resources_is_at_zero_d14,
                only_resources_move_the_resource_revision_d14,
                a_deletion_by_somebody_else_counts_at_once_d14,
                what_came_and_went_between_two_questions_counts_d14,
                a_new_handle_knows_deletions_d14,
                compacted_history_is_no_obstacle_d14,
                a_watching_handle_answers_the_same_d14,
            ]
        );
    };
    (@modules $store:ident, $start:expr, $($module:ident: [$($case:ident,)*])*) => {
        mod $store {
            #[allow(unused_imports, reason = "the start of a store may need none of them")]
            use super::*;
            $(mod $module {
                #[allow(unused_imports, reason = "the start of a store may need none of them")]
                use super::*;
                $(#[test]
                fn $case() {
                    $crate::kv::$module::$case(&$start);
                })*
            })*
        }
    };
}

/// Makes a test of each case, on the world that `$world` makes for its name.
#[macro_export]
macro_rules! resource_cases {
    ($world:expr) => {
        $crate::resource_cases!(@ $world;
            what_is_created_is_read_with_what_the_store_adds
            create_update_and_delete_have_their_errors
            a_revision_is_a_condition_of_update_and_delete
            an_object_that_would_not_change_is_not_written
            an_update_takes_labels_and_annotations_whole_and_keeps_the_rest
            values_are_kept_as_they_are
            lists_hold_one_kind_and_one_namespace
            a_list_of_many_pages_is_whole
            a_large_object_is_kept
            tiers_come_before_their_policies_and_go_after_them_d9
            a_batch_with_one_bad_change_writes_nothing
            a_rehearsal_finds_what_a_write_would_and_writes_nothing
            a_rehearsal_tells_what_somebody_changed_meanwhile
            what_is_always_there_cannot_be_changed
            a_store_is_initialised_once
            writers_at_once_lose_no_update
            a_follower_has_one_snapshot_then_each_change_once
            what_is_written_together_comes_together
            the_last_form_is_told_last
            a_locked_store_delivers_nothing_until_it_is_unlocked
            the_present_revision_covers_all_that_was_written
            reports_are_told_until_their_time_is_out
            a_lease_has_one_holder
        );
    };
    (@ $world:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                let make: fn(&str) -> $crate::resources::World = $world;
                $crate::resources::$case(&make(stringify!($case)));
            }
        )*
    };
}

/// The same for what only stores get into that keep what is no object.
#[macro_export]
macro_rules! spoiled_cases {
    ($world:expr) => {
        $crate::resource_cases!(@ $world;
            what_is_no_object_is_told_by_name_and_left_out_of_lists
            what_is_no_object_is_told_with_a_reason
        );
    };
}
