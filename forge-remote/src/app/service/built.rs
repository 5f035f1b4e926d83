//! The service: an app that has passed every check, on one router.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, any, get, on};
use tokio_util::task::TaskTracker;

use super::by_hand::ByHand;
use super::cron::{CronHandler, Schedules, Shared, timetables};
use super::durable::{DurableHandler, Intake, Runner, Runs, end_removed_installations};
use super::fixed_routes::{method_not_allowed, not_found, preflight, readiness};
use super::former::FormerCalls;
use super::keys::key_ring;
use super::last_calls::LastCalls;
use super::measured::measured;
use super::pipeline::Mounted;
use super::sampler::Sampler;
use super::served_routes::ServedRoutes;
use super::target::stored_target;
use crate::app::background::{BackgroundError, BackgroundTasks, Shutdown, Task, Tasks};
use crate::app::base_paths::ServedPath;
use crate::app::builder::App;
use crate::app::engine::Jobs;
use crate::app::identity::AppIdError;
use crate::app::launch::LaunchError;
use crate::app::limits::{Limits, MAX_IN_FLIGHT};
use crate::app::own_routes::RouteTable;
use crate::app::route_digest::{ROUTE_DIGEST_HEADER, RouteDigest};
use crate::client::{AppScopes, CallingHandler};
use crate::diagnostic::Diagnostic;
use crate::error::Result;
use crate::extract::{AppState, FormerPath, Subpath};
use crate::fit::{AllowedCaller, Clock, Verifier};
use crate::jobs::{AppJobs, EngineContext, JobPolicy, JobRunner, Sender};
use crate::log::LogLimits;
use crate::manifest::DesiredManifest;
use crate::registry::{BoxFuture, Handler, Registry, RouteScope};
use crate::telemetry::record;
#[cfg(feature = "dev")]
use crate::token::JobSeal;
use crate::token::Tokens;
use crate::work::Work;

impl App {
    /// Checks the app, and returns its service or all its problems. With the feature `cli`, a manifest
    /// that differs from the code is a problem, as for [`serve`](Self::serve).
    pub fn build(self) -> Result<Service, LaunchError> {
        #[cfg(feature = "cli")]
        let problems = Vec::from_iter(crate::app::drift(&self));
        #[cfg(not(feature = "cli"))]
        let problems = Vec::new();
        Service::new(self, problems)
    }

    /// Builds an app whose manifest was compared already, or need not agree: with a local platform.
    pub(crate) fn build_compared(self) -> Result<Service, LaunchError> {
        Service::new(self, Vec::new())
    }
}

/// An app that has passed every check and can serve. Clones share it.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    registry: Registry,
    desired: DesiredManifest,
    verifier: Arc<Verifier>,
    router: Router,
    limits: Limits,
    work: Arc<Work>,
    tokens: Option<Tokens>,
    #[cfg(feature = "dev")]
    job_seal: Option<JobSeal>,
    #[cfg(feature = "dev")]
    schedules: Schedules,
    background: Arc<Tasks>,
    by_hand: Arc<ByHand>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("handlers", &self.registry().handlers().len())
            .finish_non_exhaustive()
    }
}

impl Service {
    fn new(mut app: App, compared: Vec<Diagnostic>) -> Result<Self, LaunchError> {
        let base_paths = app.base_paths();
        let mut problems = app.declaration_problems_with(&base_paths);
        problems.extend(compared);
        problems.extend(app.unconnected());
        problems.extend(app.missing_needs());
        let settings = app.settings();
        let app_ids = settings.app_ids();
        problems.extend(app_ids.as_ref().err().map(AppIdError::to_diagnostic));
        let keys = key_ring(&mut app, settings.jwks_url.as_deref(), &mut problems);
        let (Ok(app_ids), Some(keys), true) = (app_ids, keys, problems.is_empty()) else {
            return Err(LaunchError::new(problems));
        };

        if let Some(problem) = app.open_tokens() {
            return Err(LaunchError::new(vec![problem]));
        }
        let seal = match app.job_seal() {
            Ok(seal) => seal,
            Err(problem) => return Err(LaunchError::new(vec![*problem])),
        };
        let sender = app.jobs.as_ref().zip(seal.clone()).map(|(jobs, seal)| {
            Sender::new(Arc::clone(&jobs.engine), seal, Arc::clone(&app.clock))
        });
        #[cfg(feature = "dev")]
        let job_seal = seal.clone();
        let policies: HashMap<String, JobPolicy> = app
            .registry
            .handlers()
            .iter()
            .filter_map(|one| Some((one.key().to_owned(), app.job_policy(one)?)))
            .collect();
        let clock_interval = app.clock_interval().duration();
        let desired = app.desired_manifest();
        if let Some(tokens) = &app.tokens {
            let environments = app.verification.accepted_environments();
            tokens.belong_to(&app_ids, environments);
        }
        let atlassian = app.atlassian.clone();
        atlassian.use_clock(&app.clock);
        let clock = Arc::clone(&app.clock);
        let mut verifier = Verifier::for_apps(app_ids, keys, app.verification, app.clock);
        if let Some(tokens) = &app.tokens {
            verifier = verifier.with_clock_health(tokens.clock_health());
        }
        let verifier = Arc::new(verifier);
        if app.staging {
            atlassian.allow_staging();
        }
        atlassian.impersonates(!app.impersonation.is_empty());
        atlassian.declares(AppScopes {
            required: desired.scopes.iter().map(|one| one.name.clone()).collect(),
        });
        if let Some(tokens) = &app.tokens {
            atlassian.use_tokens(tokens);
        }
        atlassian.fix_hosts();
        app.state.insert(atlassian.clone());
        if let Some(sender) = &sender {
            let keys = app.registry.jobs().iter().map(|job| job.key).collect();
            app.state
                .insert(AppJobs::new(sender.clone(), keys, app.tokens.clone()));
        }
        let work = Arc::new(Work::new(app.limits.in_flight.unwrap_or(MAX_IN_FLIGHT)));
        let log_limits = LogLimits::new({
            let clock = Arc::clone(&clock);
            move || clock.elapsed()
        });
        let calling = |handler: &Handler| {
            app.app_managed.then(|| CallingHandler {
                name: handler.registration().function,
                scopes: handler.registration().scopes,
            })
        };
        let timetables = timetables(&app.registry);
        let runs = Arc::new(Runs::new(Arc::clone(&clock)));
        let scheduled = app.registry.handlers().iter().filter_map(|handler| {
            let timetable = timetables.get(handler.key())?;
            let policy = policies.get(handler.key()).copied();
            let policy = policy.unwrap_or(JobPolicy::DEFAULT);
            Some(CronHandler::new(
                handler,
                timetable,
                policy,
                calling(handler),
            ))
        });
        let shared = Shared {
            clock: Arc::clone(&clock),
            runs: Arc::clone(&runs),
            work: Arc::clone(&work),
            log_limits: log_limits.clone(),
            #[cfg(feature = "dev")]
            is_local: app.serves_cron,
        };
        let schedules = Schedules::new(scheduled.collect(), clock_interval, sender.clone(), shared);
        app.state.insert(schedules.clone());
        let state = AppState::new(app.state);
        let keys = Arc::new(app.registry.keys());
        let former = Arc::new(FormerCalls::new(&app.registry));
        let last_calls = LastCalls::new(&app.registry, &clock);
        let by_hand = Arc::new(ByHand::new(app.tokens.clone()));
        let mut router = Router::new();
        let mut pages: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut durable = HashMap::new();
        for handler in app.registry.handlers() {
            let Some(policy) = policies.get(handler.key()) else {
                continue;
            };
            let target = stored_target(handler, &keys);
            let mut stored = DurableHandler::new(handler, *policy, target);
            stored.calling = calling(handler);
            stored.timetable = timetables.get(handler.key()).cloned();
            // Calls that are stored under a former key run too.
            for former in handler.former_keys() {
                let entry = durable.entry(former.clone());
                entry.or_insert_with(|| stored.clone());
            }
            durable.insert(handler.key().to_owned(), stored);
        }
        // The attributes of one function may share a route.
        let mut routes: BTreeMap<(ServedPath, &str), Vec<&Handler>> = BTreeMap::new();
        let served = |handler: &&Handler| app.serves_cron || !handler.is_cron();
        for handler in app.registry.handlers().iter().filter(served) {
            for served in base_paths.of(handler) {
                let route = (served, handler.methods());
                routes.entry(route).or_default().push(handler);
            }
        }
        for ((served, _), handlers) in routes {
            let mut mounted = handlers.iter().map(|handler| {
                let mut mounted = Mounted::new(
                    handler,
                    &keys,
                    &verifier,
                    &state,
                    &atlassian,
                    app.limits,
                    &work,
                    &log_limits,
                    &former,
                );
                mounted.tokens = app.tokens.clone();
                mounted.calling = calling(handler);
                mounted.last_call = last_calls.of(handler.key());
                mounted.on_span = app.on_span.clone();
                let policy = policies.get(handler.key());
                if let (Some(policy), Some(sender)) = (policy, &sender) {
                    let intake = Intake::new(handler, policy, sender);
                    mounted.intake = Some(Arc::new(intake));
                }
                mounted
            });
            let (Some(first), Some(handler)) = (mounted.next(), handlers.first()) else {
                continue;
            };
            let mounted = first.sharing_route_with(mounted.collect());
            router = mount(router, handler, &served, Arc::new(mounted), &by_hand);
            if handler.registration().kind.caller() == AllowedCaller::Page {
                let methods = pages.entry(served.path).or_default();
                methods.push(handler.method().as_str());
            }
        }
        for job in app.registry.jobs() {
            let stored = DurableHandler::job(job);
            durable.entry(job.key.to_owned()).or_insert(stored);
        }
        let engine = app.jobs.as_ref().map(|jobs| Arc::clone(&jobs.engine));
        if let (Some(tokens), Some(engine)) = (&app.tokens, &engine) {
            end_removed_installations(tokens, engine);
        }
        if let (Some(jobs), Some(seal)) = (app.jobs, seal) {
            let runner = Arc::new(Runner {
                seal,
                verifier: Arc::clone(&verifier),
                state: state.clone(),
                atlassian: atlassian.clone(),
                tokens: app.tokens.clone(),
                clock: Arc::clone(&clock),
                work: Arc::clone(&work),
                log_limits: log_limits.clone(),
                handlers: durable,
                runs,
                on_span: app.on_span.clone(),
                started: AtomicU64::new(0),
            });
            let serving = serving_jobs(jobs, runner, Arc::clone(&clock), app.limits);
            app.background.push(serving);
        }
        for (path, methods) in pages {
            let methods = methods.join(", ");
            let options = move |request: Request| std::future::ready(preflight(&request, &methods));
            router = router.route(&path, on(MethodFilter::OPTIONS, options));
        }
        let (table, _) = RouteTable::new(&app.own_routes);
        let own_routes = Arc::new(ServedRoutes {
            routes: app.own_routes,
            table,
            calls: TaskTracker::new(),
            limits: app.limits,
            work: Arc::clone(&work),
            log_limits: log_limits.clone(),
            on_span: app.on_span.clone(),
        });
        own_routes.announce();
        let digest = RouteDigest::of(&app.registry).to_header();
        let ready = Arc::clone(&verifier);
        let ready_tokens = app.tokens.clone();
        let ready_work = Arc::clone(&work);
        let sampling_limits = log_limits.clone();
        let router = router
            .route("/healthz", {
                let digest = digest.clone();
                get(|| async move { ([(ROUTE_DIGEST_HEADER, digest)], "ok\n") })
            })
            .route(
                "/readyz",
                get(move || {
                    readiness(
                        Arc::clone(&ready_work),
                        Arc::clone(&ready),
                        ready_tokens.clone(),
                    )
                }),
            )
            .fallback({
                let (limits, by_hand) = (log_limits.clone(), Arc::clone(&by_hand));
                async move |request: Request| {
                    by_hand.on_request();
                    match own_routes.serve(request).await {
                        Ok(response) => response,
                        Err(request) => {
                            let mut response = not_found(&request, &limits, &former);
                            response.headers_mut().insert(ROUTE_DIGEST_HEADER, digest);
                            response
                        }
                    }
                }
            })
            .method_not_allowed_fallback(async move |request: Request| {
                method_not_allowed(&request, &log_limits)
            });
        // With its state, the router has a service for each route; without, it makes one for each request.
        let router = measured(app.layers.apply(router)).with_state(());
        let sampling = sampling(Sampler {
            verifier: Arc::clone(&verifier),
            tokens: app.tokens.clone(),
            engine,
            last_calls,
            clock: Arc::clone(&clock),
            log_limits: sampling_limits,
        });
        let background = Tasks::new(app.background, state, clock).sampled_by(sampling);
        let background = Arc::new(background);
        by_hand.watch(&background);
        let (registry, limits) = (app.registry, app.limits);
        let tokens = app.tokens;
        Ok(Self(Arc::new(Inner {
            #[cfg(feature = "dev")]
            job_seal,
            #[cfg(feature = "dev")]
            schedules,
            registry,
            desired,
            verifier,
            router,
            limits,
            work,
            tokens,
            background,
            by_hand,
        })))
    }

    /// Returns the routes as an axum router, to nest into another or to call in tests. Every call of a
    /// handler is verified; [`App::routes`], `/healthz` and `/readyz` are not.
    ///
    /// Keys are fetched when requests need them; [`Jwks::keep_fresh`](crate::fit::Jwks::keep_fresh) fetches them ahead. Call
    /// [`start_background`](Self::start_background) to run background tasks, and
    /// [`shutdown`](Self::shutdown) at the end to write tokens that are not stored yet. The log has a
    /// warning if requests are served without the app's tasks, and an error if the app is dropped with
    /// unwritten tokens. The store's callbacks (such as [`Tokens::on_removed`]) start automatically.
    ///
    /// ```
    /// use forge_remote::axum::Router;
    /// use forge_remote::prelude::*;
    ///
    /// # async fn serve(app: App, listener: tokio::net::TcpListener) -> Result<()> {
    /// let service = app.connect().await?.build()?;
    /// let background = service.start_background()?;
    /// let router = Router::new().nest("/forge", service.router());
    /// forge_remote::axum::serve(listener, router).await?;
    /// background.stop(std::time::Duration::from_secs(20)).await;
    /// service.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        self.0.router.clone()
    }

    /// Returns the app's handlers.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Returns the verifier that checks every request.
    pub fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// Returns the manifest sections that the code declares.
    pub fn desired_manifest(&self) -> DesiredManifest {
        self.0.desired.clone()
    }

    pub(crate) fn work(&self) -> &Arc<Work> {
        &self.0.work
    }

    /// Starts the app's [`background`](App::background) tasks if your own server serves the
    /// [`router`](Self::router); `serve` starts them automatically.
    ///
    /// They run once for all clones of the service, and are cancelled when the returned handle is
    /// dropped. Stop them with [`BackgroundTasks::stop`] before [`Tokens::flush`].
    pub fn start_background(&self) -> Result<BackgroundTasks, BackgroundError> {
        self.0.background.start()
    }

    /// Records that this app's own server takes care of everything beside requests.
    pub(crate) fn is_served(&self) {
        self.0.by_hand.is_served();
    }

    /// Records that unwritten tokens were written, or that their loss was logged.
    pub(crate) fn is_shut_down(&self) {
        self.0.by_hand.is_shut_down();
    }

    /// Logs nothing about tasks that are not running: in tests.
    #[cfg(feature = "testing")]
    pub(crate) fn needs_no_tasks(&self) {
        self.0.by_hand.needs_no_tasks();
    }

    /// Returns the seal of stored calls.
    #[cfg(feature = "dev")]
    pub(crate) fn job_seal(&self) -> Option<&JobSeal> {
        self.0.job_seal.as_ref()
    }

    /// Returns the schedules of the handlers with `cron`.
    #[cfg(feature = "dev")]
    pub(crate) fn cron_schedules(&self) -> &Schedules {
        &self.0.schedules
    }

    pub(crate) fn tokens(&self) -> Option<&Tokens> {
        self.0.tokens.as_ref()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }
}

/// Returns the task that runs stored calls.
fn serving_jobs(jobs: Jobs, runner: Arc<Runner>, clock: Arc<dyn Clock>, limits: Limits) -> Task {
    let Jobs { engine, place } = jobs;
    // A little earlier than the task is cancelled, so that the engine can hand back the rest.
    let grace = limits.shutdown.mul_f32(0.9);
    Task::of_app(place, move |shutdown: Shutdown| {
        runner.starts();
        let (runner, clock): (Arc<dyn JobRunner>, _) = (runner.clone(), Arc::clone(&clock));
        let stop = Box::pin(async move { shutdown.requested().await });
        let serving = engine.serve(EngineContext::new(runner, clock, stop, grace));
        Box::pin(async move { Ok(serving.await?) })
    })
}

/// Describes the metrics, and returns the task that records ages and queues, if metrics are recorded.
fn sampling(sampler: Sampler) -> Option<Task> {
    record::describe();
    let sampler = Arc::new(sampler);
    let sample = move || -> BoxFuture<Result<()>> {
        let sampler = Arc::clone(&sampler);
        Box::pin(async move {
            sampler.run().await;
            Ok(())
        })
    };
    record::ENABLED.then(|| Task::endless(Location::caller(), sample))
}

/// Adds every route of a handler at one of its paths.
fn mount(
    router: Router,
    handler: &Handler,
    served: &ServedPath,
    mounted: Arc<Mounted>,
    by_hand: &Arc<ByHand>,
) -> Router {
    let ServedPath {
        path, is_former, ..
    } = served;
    let (path, is_former) = (path.as_str(), *is_former);
    let base = path.trim_end_matches('/').to_owned();
    let subpaths = format!("{base}/{{*rest}}");
    let slash = format!("{base}/");
    let serve = {
        let (mounted, by_hand) = (Arc::clone(&mounted), Arc::clone(by_hand));
        move |mut request: Request| {
            by_hand.on_request();
            if is_former {
                request.extensions_mut().insert(FormerPath);
            }
            Arc::clone(&mounted).serve(request)
        }
    };
    match handler.reach() {
        RouteScope::Exact => router.route(path, on(handler.method().filter(), serve)),
        RouteScope::AnyMethod => router.route(path, any(serve)),
        RouteScope::Subpath => {
            let serve_whole = serve.clone();
            let serve_subpath = move |mut request: Request| {
                let rest = request.uri().path().strip_prefix(base.as_str());
                let rest = Subpath(rest.unwrap_or_default().to_owned());
                request.extensions_mut().insert(rest);
                serve_whole(request)
            };
            let router = if path == slash {
                router
            } else {
                router.route(&slash, any(serve_subpath.clone()))
            };
            router
                .route(path, any(serve))
                .route(&subpaths, any(serve_subpath))
        }
    }
}
