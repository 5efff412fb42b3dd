pub mod client; pub mod mock; pub mod process; pub mod said; pub mod stack;
