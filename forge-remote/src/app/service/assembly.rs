//! The steps from an app to its service.

use std::panic::Location;
use std::sync::Arc;

use super::built::{Service, ServiceParts};
use super::by_hand::ByHand;
use super::call_plan::CallPlan;
use super::context::ServiceContext;
use super::durable::{Runner, end_removed_installations};
use super::fixed_routes::FixedRoutes;
use super::former::FormerCalls;
use super::handler_routes::HandlerRoutes;
use super::keys::key_ring;
use super::last_calls::LastCalls;
use super::measured::measured;
use super::sampler::Sampler;
use super::served_routes::ServedRoutes;
use super::target::KnownKeys;
use crate::app::background::{Shutdown, Task, Tasks};
use crate::app::base_paths::BasePaths;
use crate::app::builder::App;
use crate::app::engine::JobsSetting;
use crate::app::launch::LaunchError;
use crate::app::limits::MAX_IN_FLIGHT;
use crate::app::route_digest::RouteDigest;
use crate::client::AppScopes;
use crate::diagnostic::Diagnostic;
use crate::error::Result;
use crate::extract::AppState;
use crate::fit::{AppId, KeyRing, Verifier};
use crate::jobs::{AppJobs, EngineContext, JobEngine, JobRunner};
use crate::log::LogLimits;
use crate::manifest::DesiredManifest;
use crate::registry::BoxFuture;
use crate::telemetry::record;
use crate::token::JobSeal;
use crate::work::Work;

impl App {
    /// Checks the app, and returns its service or all its problems. A manifest that cannot be read is a problem and,
    /// with the feature `cli`, one that differs from the code, as for [`serve`](Self::serve).
    pub fn build(self) -> Result<Service, LaunchError> {
        let problems = Vec::from_iter(crate::app::drift(&self));
        Service::assemble(self, problems)
    }

    /// Builds an app whose manifest was compared already, or need not agree: with a local platform.
    pub(crate) fn build_compared(self) -> Result<Service, LaunchError> {
        Service::assemble(self, Vec::new())
    }
}

impl Service {
    /// Checks the app, and builds everything that serves it.
    fn assemble(mut app: App, compared: Vec<Diagnostic>) -> Result<Self, LaunchError> {
        let base_paths = app.base_paths();
        let (app_ids, keys) = check(&mut app, &base_paths, compared)?;
        let seal = open_stores(&mut app)?;
        let desired = app.desired_manifest();
        let verifier = verifier(&app, app_ids, keys);
        configure_client(&app, &desired);
        let plan = CallPlan::new(&app, seal.clone());
        let context = context(&mut app, verifier, &plan);

        let last_calls = LastCalls::new(&app.registry, &context.clock);
        let former = Arc::new(FormerCalls::new(&app.registry));
        let by_hand = Arc::new(ByHand::new(app.token_store.clone()));
        let keys = KnownKeys::of(&app);
        let routes = HandlerRoutes {
            app: &app,
            context: &context,
            plan: &plan,
            keys: &keys,
            former: &former,
            last_calls: &last_calls,
            by_hand: &by_hand,
        };
        let router = routes.router(&base_paths);
        let engine = app.jobs.as_ref().map(|jobs| Arc::clone(&jobs.engine));
        if let Some(seal) = seal.clone() {
            let handlers = plan.durable_handlers(&app, &keys);
            let runner = Runner::new(context.clone(), seal, handlers, plan.runs);
            run_jobs(&mut app, runner);
        }
        let own_routes = std::mem::take(&mut app.own_routes);
        let fixed = FixedRoutes {
            own_routes: Arc::new(ServedRoutes::new(own_routes, &context)),
            former,
            by_hand: Arc::clone(&by_hand),
            digest: RouteDigest::of(&app.registry).to_header(),
            context: context.clone(),
        };
        let router = fixed.add_to(router);
        // With its state, the router has a service for each route; without, it makes one for each request.
        let router = measured(app.layers.apply(router)).with_state(());
        let sampling = sampling(&context, engine, last_calls);
        let background = Tasks::new(app.background, context.state, context.clock);
        let background = Arc::new(background.sampled_by(sampling));
        by_hand.watch(&background);
        Ok(Self(Arc::new(ServiceParts {
            #[cfg(feature = "dev")]
            job_seal: seal,
            #[cfg(feature = "dev")]
            schedules: context.schedules,
            registry: app.registry,
            desired,
            verifier: context.verifier,
            router,
            limits: app.limits,
            work: context.work,
            tokens: app.token_store,
            background,
            by_hand,
        })))
    }
}

/// Returns the app's ids and keys, or everything that keeps it from starting.
fn check(
    app: &mut App,
    base_paths: &BasePaths,
    compared: Vec<Diagnostic>,
) -> Result<(Vec<AppId>, KeyRing), LaunchError> {
    let mut problems = app.declaration_problems_with(base_paths);
    problems.extend(compared);
    problems.extend(app.unconnected());
    let settings = app.settings();
    problems.extend(app.setup_problems(&settings));
    let app_ids = settings.app_ids();
    let app_id_problem = app_ids.as_ref().err();
    let app_id_problem = app_id_problem.map(|error| error.to_diagnostic(&settings));
    // The manifest's problem is reported once.
    problems.extend(app_id_problem.filter(|one| !problems.contains(one)));
    let keys = key_ring(app, settings.jwks_url.as_deref());
    match (app_ids, keys) {
        (Ok(app_ids), Some(keys)) if problems.is_empty() => Ok((app_ids, keys)),
        _ => Err(LaunchError::new(problems)),
    }
}

/// Opens the token store, and returns the seal of stored calls.
fn open_stores(app: &mut App) -> Result<Option<JobSeal>, LaunchError> {
    if let Some(problem) = app.open_tokens() {
        return Err(LaunchError::new(vec![problem]));
    }
    let seal = app.job_seal();
    seal.map_err(|problem| LaunchError::new(vec![*problem]))
}

/// Returns the verifier of the app's calls, which shares the store's knowledge of the clock.
fn verifier(app: &App, app_ids: Vec<AppId>, keys: KeyRing) -> Arc<Verifier> {
    if let Some(tokens) = &app.token_store {
        let environments = app.verification.accepted_environments();
        tokens.belong_to(&app_ids, environments);
    }
    let policy = app.verification.clone();
    let verifier = Verifier::for_apps(app_ids, keys, policy, Arc::clone(&app.clock));
    Arc::new(match &app.token_store {
        Some(tokens) => verifier.with_clock_health(tokens.clock_health()),
        None => verifier,
    })
}

/// Gives the app's client what its calls depend on; its hosts are fixed from here on.
fn configure_client(app: &App, desired: &DesiredManifest) {
    let client = &app.client;
    client.use_clock(&app.clock);
    if app.staging_cloud {
        client.allow_staging();
    }
    client.impersonates(!app.impersonation_scopes.is_empty());
    client.declares(AppScopes {
        required: desired.scopes.iter().map(|one| one.name.clone()).collect(),
    });
    if let Some(tokens) = &app.token_store {
        client.use_tokens(tokens);
    }
    client.fix_hosts();
}

/// Completes the state of handlers, and returns what all calls share.
fn context(app: &mut App, verifier: Arc<Verifier>, plan: &CallPlan) -> ServiceContext {
    let work = Arc::new(Work::new(app.limits.in_flight.unwrap_or(MAX_IN_FLIGHT)));
    let clock = Arc::clone(&app.clock);
    let log_limits = LogLimits::new({
        let clock = Arc::clone(&clock);
        move || clock.elapsed()
    });
    let schedules = plan.schedules(app, &work, &log_limits);
    let mut state = std::mem::take(&mut app.state);
    state.insert(app.client.clone());
    if let Some(sender) = &plan.sender {
        let keys = app.registry.jobs().iter().map(|job| job.key).collect();
        state.insert(AppJobs::new(sender.clone(), keys, app.token_store.clone()));
    }
    state.insert(schedules.clone());
    ServiceContext {
        verifier,
        state: AppState::new(state),
        atlassian: app.client.clone(),
        tokens: app.token_store.clone(),
        clock,
        limits: app.limits,
        work,
        log_limits,
        on_span: app.on_span.clone(),
        unknown_key_hint: app.unknown_key_hint,
        #[cfg(feature = "dev")]
        schedules,
    }
}

/// Makes the engine of the app's jobs run them in the background.
fn run_jobs(app: &mut App, runner: Runner) {
    let Some(JobsSetting { engine, place }) = app.jobs.take() else {
        return;
    };
    if let Some(tokens) = &app.token_store {
        end_removed_installations(tokens, &engine);
    }
    let (runner, clock) = (Arc::new(runner), Arc::clone(&app.clock));
    // A little earlier than the task is cancelled, so that the engine can release the remaining
    // jobs.
    let grace = app.limits.shutdown.mul_f32(0.9);
    let task = Task::of_app(place, move |shutdown: Shutdown| {
        runner.starts();
        let (runner, clock): (Arc<dyn JobRunner>, _) = (runner.clone(), Arc::clone(&clock));
        let stop = Box::pin(async move { shutdown.requested().await });
        let serving = engine.serve(EngineContext::new(runner, clock, stop, grace));
        Box::pin(async move { Ok(serving.await?) })
    });
    app.background.push(task);
}

/// Describes the metrics, and returns the task that records ages and queues, if metrics are recorded.
fn sampling(
    context: &ServiceContext,
    engine: Option<Arc<dyn JobEngine>>,
    last_calls: LastCalls,
) -> Option<Task> {
    record::describe();
    let sampler = Arc::new(Sampler {
        verifier: Arc::clone(&context.verifier),
        tokens: context.tokens.clone(),
        engine,
        last_calls,
        clock: Arc::clone(&context.clock),
        log_limits: context.log_limits.clone(),
    });
    let sample = move || -> BoxFuture<Result<()>> {
        let sampler = Arc::clone(&sampler);
        Box::pin(async move {
            sampler.run().await;
            Ok(())
        })
    };
    record::ENABLED.then(|| Task::endless(Location::caller(), sample))
}
