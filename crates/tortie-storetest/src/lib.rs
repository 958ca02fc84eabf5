//! What every store must do, as cases that run on each of them (datastore.md section 8).
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![forbid(unsafe_code)]

pub mod resources;

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
            tiers_come_before_their_policies_and_go_after_them
            a_batch_with_one_bad_change_writes_nothing
            what_is_always_there_cannot_be_changed
            a_store_is_initialised_once
            writers_at_once_lose_no_update
            what_is_no_object_is_told_by_name_and_left_out_of_lists
            a_follower_has_one_snapshot_then_each_change_once
            what_is_written_together_comes_together
            the_last_form_is_told_last
            what_is_no_object_is_told_with_a_reason
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
