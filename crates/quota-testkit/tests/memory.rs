//! The conformance suite on the store in memory.

mod quarters {
    use quota_testkit::SharedMemory;

    quota_testkit::conformance!(SharedMemory::quarters());
}

mod entries {
    use quota_testkit::SharedMemory;

    quota_testkit::conformance!(SharedMemory::entries());
}
