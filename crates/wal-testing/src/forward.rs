//! A macro for directories and files that wrap others and change some of their calls.

/// Implements methods by a call of the same method of the field `$inner`.
///
/// ```
/// trait Clock {
///     fn now(&self) -> u64;
///     fn wait(&self, pause: u64);
/// }
///
/// struct Late<C> {
///     clock: C,
/// }
///
/// impl<C: Clock> Clock for Late<C> {
///     wal_testing::forward! { clock:
///         fn wait(&self, pause: u64);
///     }
///
///     fn now(&self) -> u64 {
///         self.clock.now() - 1
///     }
/// }
/// ```
#[macro_export]
macro_rules! forward {
    ($inner:ident: $(fn $method:ident(&self $(, $argument:ident: $kind:ty)*) $(-> $returned:ty)?;)+) => {
        $(fn $method(&self $(, $argument: $kind)*) $(-> $returned)? {
            self.$inner.$method($($argument),*)
        })+
    };
}
