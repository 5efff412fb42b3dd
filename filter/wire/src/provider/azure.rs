//! Azure's OpenAI, one address a customer.
//!
//! The row is Azure's v1 API: the model's name is the deployment's, no version in the query. The older API has the
//! deployment in its path: `base_url: https://RESOURCE.openai.azure.com` with
//! `path: /openai/deployments/{model}/chat/completions?api-version=2024-10-21`.
//!
//! Does not: get Entra tokens; whoever has them configures `auth_header` and a file as secret.

use super::{Auth, Base, Provider};
use crate::format::openai_chat::OpenAiChat;

/// The row.
pub static ROWS: &[Provider] = &[Provider {
    name: "azure",
    base: Base::Own("https://RESOURCE.openai.azure.com/openai/v1"),
    format: &OpenAiChat,
    auth: Auth { header: "api-key", prefix: "" },
    narrows: &[],
    docs: "https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
}];
