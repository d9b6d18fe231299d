//! Stored rows with a type: what a value says, where it lies, and how both are read.

use super::{Bucket, Row, RowKey, Sought, Store, StoreError};
use core::fmt;
use core::marker::PhantomData;
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};

/// The first byte of every value.
const FORMAT: u8 = 1;

/// What a row's value says, with one strict encoding behind the format byte.
///
/// ```
/// use unjoin_core::wire::{DecodeError, Reader, Writer};
/// use unjoin_store::Record;
///
/// struct Orders(u64);
///
/// impl Record for Orders {
///     const NAME: &'static str = "orders";
///     fn encode(&self, out: &mut Writer) {
///         out.le64(self.0);
///     }
///     fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
///         from.le64("orders").map(Self)
///     }
/// }
///
/// assert!(matches!(Orders::from_value(&Orders(417).to_value()), Ok(Orders(417))));
/// assert!(Orders::from_value(b"anything else").is_err());
/// ```
pub trait Record: Sized {
    /// What it is called in [`StoreError::Corrupt`].
    const NAME: &'static str;

    /// Appends everything after the format byte.
    fn encode(&self, out: &mut Writer);

    /// Reads everything after the format byte; what is left over is refused by the caller.
    ///
    /// # Errors
    /// When the bytes are none that [`encode`](Self::encode) writes.
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The whole value.
    fn to_value(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(512);
        out.u8(FORMAT);
        self.encode(&mut out);
        out.finish()
    }

    /// Reads a whole value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    fn from_value(value: &[u8]) -> Result<Self, StoreError> {
        let mut from = Reader::new(value, Self::NAME);
        let decoded = from.u8("format").and_then(|format| match format {
            FORMAT => Self::decode(&mut from),
            _ => Err(from.refuse(Rule::Version)),
        });
        decoded.and_then(|row| from.end().map(|()| row)).map_err(|_| StoreError::Corrupt(Self::NAME))
    }
}

/// A row that is its fields, one after the other: `record!(OrderRow, "order": account, due_at)`. How
/// a field is written may stand behind its name as in [`fields!`](unjoin_core::fields). Behind `if` stands what they must fulfil
/// together. A row of bytes that begin with no format of ours is `bare`: `record!(Entry, "ledger entry": bare)`.
#[doc(hidden)]
#[macro_export]
macro_rules! record {
    ($row:ident, $name:literal: bare) => {
        impl $crate::Record for $row {
            const NAME: &'static str = $name;

            fn encode(&self, out: &mut ::unjoin_core::wire::Writer) {
                out.raw(&self.0);
            }

            fn decode(
                from: &mut ::unjoin_core::wire::Reader<'_>,
            ) -> Result<Self, ::unjoin_core::wire::DecodeError> {
                Ok(Self(from.rest($name).to_vec()))
            }

            fn to_value(&self) -> Vec<u8> {
                self.0.clone()
            }

            fn from_value(value: &[u8]) -> Result<Self, $crate::StoreError> {
                Ok(Self(value.to_vec()))
            }
        }
    };
    ($row:ident, $name:literal: $($field:tt $($how:ident $(($limits:expr))?)?),+ $(; if $fits:expr)?) => {
        impl $crate::Record for $row {
            const NAME: &'static str = $name;

            fn encode(&self, out: &mut ::unjoin_core::wire::Writer) {
                $(::unjoin_core::fields!(@put self.$field, out $(, $how $(($limits))?)?);)+
            }

            fn decode(
                from: &mut ::unjoin_core::wire::Reader<'_>,
            ) -> Result<Self, ::unjoin_core::wire::DecodeError> {
                let row = Self {
                    $($field: ::unjoin_core::fields!(@get from, stringify!($field) $(, $how $(($limits))?)?)),+
                };
                $(
                    let fits: fn(&Self) -> bool = $fits;
                    if !fits(&row) {
                        return Err(from.refuse(::unjoin_core::wire::Rule::Value));
                    }
                )?
                Ok(row)
            }
        }
    };
}

/// A row that says everything by its key.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Present;

impl Record for Present {
    const NAME: &'static str = "marker";

    fn encode(&self, _: &mut Writer) {}

    fn decode(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

/// A row whose value is the bytes of one message, which begin with a version of their own.
#[doc(hidden)]
#[derive(Clone, PartialEq, Eq)]
pub struct MessageRow<M>(pub M);

impl<M: Message> Record for MessageRow<M> {
    const NAME: &'static str = M::NAME;

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.0.to_bytes());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(M::from_bytes(from.rest("message"))?))
    }

    fn to_value(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn from_value(value: &[u8]) -> Result<Self, StoreError> {
        M::from_bytes(value).map(Self).map_err(|_| StoreError::Corrupt(Self::NAME))
    }
}

/// The address of a row that holds an `R`.
///
/// ```
/// use unjoin_store::{Bucket, Key, Present};
/// let key: Key<Present> = Key::new(Bucket::of(b"merchant 17"), b"serial".to_vec());
/// assert_eq!((key.bucket(), key.bytes()), (Bucket::of(b"merchant 17"), &b"serial"[..]));
/// assert_eq!(key.at().key, b"serial");
/// ```
pub struct Key<R> {
    at: RowKey,
    row: PhantomData<fn() -> R>,
}

impl<R> Key<R> {
    /// The row at `key` in `bucket`.
    pub fn new(bucket: Bucket, key: Vec<u8>) -> Self {
        Self { at: RowKey { bucket, key }, row: PhantomData }
    }

    /// The address without its type.
    pub fn at(&self) -> &RowKey {
        &self.at
    }

    /// The same without a copy.
    #[doc(hidden)]
    pub fn into_at(self) -> RowKey {
        self.at
    }

    /// The partition that the row lies in.
    pub fn bucket(&self) -> Bucket {
        self.at.bucket
    }

    /// The key within the bucket.
    pub fn bytes(&self) -> &[u8] {
        &self.at.key
    }
}

impl<R> Clone for Key<R> {
    fn clone(&self) -> Self {
        Self { at: self.at.clone(), row: PhantomData }
    }
}

impl<R> PartialEq for Key<R> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

/// Prints lengths only, as [`RowKey`] does.
impl<R> fmt::Debug for Key<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

/// Rows that are read together: a [`Key`], a tuple of such, or a vector of any number.
#[doc(hidden)]
pub trait Reads {
    /// What they hold: an `Option<R>` for each `Key<R>`, in the same shape.
    type Rows;

    /// Appends the addresses, in order.
    fn append_to(&self, keys: &mut Vec<RowKey>);

    /// Decodes the values, which come in the order of the addresses.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    fn decode(&self, values: &mut core::slice::Iter<'_, Option<Vec<u8>>>) -> Result<Self::Rows, StoreError>;
}

impl<R: Record> Reads for Key<R> {
    type Rows = Option<R>;

    fn append_to(&self, keys: &mut Vec<RowKey>) {
        keys.push(self.at.clone());
    }

    fn decode(&self, values: &mut core::slice::Iter<'_, Option<Vec<u8>>>) -> Result<Self::Rows, StoreError> {
        let value = values.next().ok_or(StoreError::Corrupt("read"))?;
        value.as_deref().map(R::from_value).transpose()
    }
}

impl<T: Reads> Reads for Vec<T> {
    type Rows = Vec<T::Rows>;

    fn append_to(&self, keys: &mut Vec<RowKey>) {
        self.iter().for_each(|each| each.append_to(keys));
    }

    fn decode(&self, values: &mut core::slice::Iter<'_, Option<Vec<u8>>>) -> Result<Self::Rows, StoreError> {
        self.iter().map(|each| each.decode(values)).collect()
    }
}

macro_rules! reads_of_tuples {
    ($($($name:ident)+;)+) => {$(
        impl<$($name: Reads),+> Reads for ($($name,)+) {
            type Rows = ($($name::Rows,)+);

            fn append_to(&self, keys: &mut Vec<RowKey>) {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                $($name.append_to(keys);)+
            }

            fn decode(
                &self,
                values: &mut core::slice::Iter<'_, Option<Vec<u8>>>,
            ) -> Result<Self::Rows, StoreError> {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                Ok(($($name.decode(values)?,)+))
            }
        }
    )+};
}
reads_of_tuples! { A B; A B C; A B C D; }

/// Reads rows, and decides nothing.
///
/// # Errors
/// The engine's, or [`StoreError::Corrupt`].
///
/// ```
/// use unjoin_store::{Bucket, Key, MemoryStore, Present, read};
/// let key = |row: &str| Key::<Present>::new(Bucket::of(b"merchant 17"), row.into());
/// // Several at once, in the shape in which they are asked for.
/// let (order, serials) = read(&MemoryStore::new(), &(key("order"), vec![key("1"), key("2")]))?;
/// assert!(order.is_none() && serials.len() == 2);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub fn read<S: Store + ?Sized, R: Reads>(store: &S, reads: &R) -> Result<R::Rows, StoreError> {
    let mut keys = Vec::new();
    reads.append_to(&mut keys);
    reads.decode(&mut store.read(&keys)?.iter())
}

/// A row that a scan found, not decoded yet.
#[doc(hidden)]
pub struct Found<R> {
    /// Where it lies.
    pub key: Key<R>,
    value: Vec<u8>,
}

impl<R: Record> Found<R> {
    /// What it says.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn row(&self) -> Result<R, StoreError> {
        R::from_value(&self.value)
    }
}

/// The rows whose keys begin with a prefix, of one bucket or of all, page by page, in the order of (bucket, key).
#[doc(hidden)]
pub struct Pages<'a, S: ?Sized, R> {
    store: &'a S,
    bucket: Option<Bucket>,
    prefix: Vec<u8>,
    before: Option<Vec<u8>>,
    after: Option<RowKey>,
    page: usize,
    done: bool,
    row: PhantomData<fn() -> R>,
}

impl<'a, S: Store + ?Sized, R> Pages<'a, S, R> {
    /// Of one bucket, from the first row on, at most `page` at a time.
    pub fn new(store: &'a S, bucket: Bucket, prefix: Vec<u8>, page: usize) -> Self {
        Self { bucket: Some(bucket), ..Self::of_all(store, prefix, page) }
    }

    /// Of all buckets.
    pub fn of_all(store: &'a S, prefix: Vec<u8>, page: usize) -> Self {
        let (bucket, before, after, page) = (None, None, None, page.max(1));
        Self { store, bucket, prefix, before, after, page, done: false, row: PhantomData }
    }

    /// Of all buckets, and only those that come before the key `before` in their bucket.
    #[must_use]
    pub fn before(mut self, before: Vec<u8>) -> Self {
        self.before = Some(before);
        self
    }

    /// From behind the row at `after` on, which need not be stored.
    #[must_use]
    pub fn after(mut self, after: Option<RowKey>) -> Self {
        self.after = after;
        self
    }

    /// The next page, not empty; `None` after the last.
    ///
    /// # Errors
    /// The engine's. The same page comes next then.
    #[allow(clippy::should_implement_trait, reason = "a page may fail and come again")]
    pub fn next(&mut self) -> Result<Option<Vec<Found<R>>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let rows: Vec<(Bucket, Row)> = match self.bucket {
            Some(bucket) => {
                let after = self.after.as_ref().map(|after| after.key.as_slice());
                let rows = self.store.scan(bucket, &self.prefix, after, self.page)?;
                rows.into_iter().map(|row| (bucket, row)).collect()
            }
            None => self.store.scan_all(Sought {
                prefix: &self.prefix,
                before: self.before.as_deref(),
                after: self.after.as_ref(),
                limit: self.page,
            })?,
        };
        self.done = rows.len() < self.page;
        match rows.last() {
            Some((bucket, last)) => self.after = Some(RowKey { bucket: *bucket, key: last.key.clone() }),
            None => return Ok(None),
        }
        let found = |(bucket, Row { key, value })| Found { key: Key::new(bucket, key), value };
        Ok(Some(rows.into_iter().map(found).collect()))
    }
}
